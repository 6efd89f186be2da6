"""Merkle trees of RFC 6962: root, inclusion paths, and the root that a path leads to.

Guarantees: leaves and nodes are hashed in separate domains, so no node can be passed off as a leaf; nothing is
padded or duplicated, so two lists of leaves never share a root. Serves batch signatures and the ledger.

Source: RFC 6962 §2.1 (tree), RFC 9162 §2.1.3.2 (verifying a path). All hashes are SHA-256, 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from exchange.errors import Rejected

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash one entry: H(00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node: H(01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (not entries), O(n)."""
    if not leaf_hashes:
        return EMPTY_ROOT
    *_, top = _levels(leaf_hashes)
    return top[0]


def paths(leaf_hashes: Sequence[bytes]) -> list[list[bytes]]:
    """The inclusion path of every leaf, from its sibling up to the root's child; O(n log n) in all."""
    levels = list(_levels(leaf_hashes))[:-1] if leaf_hashes else []
    return [_path(levels, index) for index in range(len(leaf_hashes))]


def path_of(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of one leaf, as `paths` has it, O(n)."""
    return _path(list(_levels(leaf_hashes))[:-1], index)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf hash and its path lead to; whoever asks compares it with the root they trust.

    Raises: Rejected ``batch.path``: no leaf of a tree of `size` has such an index and path.
    """
    # RFC 9162 §2.1.3.2 step 1.
    if not 0 <= index < size:
        raise Rejected("batch.path", f"index {index} of {size}, {len(path)} hashes")
    # Steps 2 and 3.
    place, last, result = index, size - 1, leaf
    # Step 4.
    for sibling in path:
        if last == 0:
            raise Rejected("batch.path", "longer than the tree is high")
        if place & 1 or place == last:
            result = sha256(b"\x01" + sibling + result).digest()
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            result = sha256(b"\x01" + result + sibling).digest()
        place >>= 1
        last >>= 1
    # Step 5; the comparison of the roots is the caller's.
    if last != 0:
        raise Rejected("batch.path", "shorter than the tree is high")
    return result


def _path(levels: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """From the leaf's sibling up; `levels`: all but the root's."""
    path, place = [], index
    for level in levels:
        sibling = place ^ 1
        if sibling < len(level):  # else it is the last of an odd level and moves up alone
            path.append(level[sibling])
        place >>= 1
    return path


def _levels(leaf_hashes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """From the leaves to the root. Pairing from the left, with the odd last one moved up as it is, is the
    split at the largest power of two that RFC 6962 defines."""
    level = leaf_hashes
    yield level
    while len(level) > 1:
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])
        level = above
        yield level
