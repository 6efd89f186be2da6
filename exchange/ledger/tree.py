"""The tree over tiles: growing it, its root, and the proofs that it gives.

Guarantees: a `Frontier` holds at most 255 hashes a level, whatever the size; a `TileTree` reads only the tiles of
its own size, so it answers for a signed checkpoint while the log grows on. Proofs are checked by `check_inclusion`
and `check_consistency`, which trust nothing but the roots they are given.

Source: RFC 6962 §2.1 (tree), RFC 9162 §2.1.3 (inclusion), §2.1.4 (consistency).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from exchange.errors import InvariantBroken, Rejected
from exchange.ledger.tiles import WIDTH, WIDTH_BITS, Tile, hashes
from exchange.signatures.merkle import EMPTY_ROOT, node_hash, root, root_from_path

ReadTile = Callable[[Tile], bytes]
"""The bytes of a tile, perhaps of a wider one; raises Unavailable or Rejected."""


class Frontier:
    """The right edge of a growing tree: of each tile level the hashes of the tile that isn't full."""

    def __init__(self, size: int = 0, edge: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._edge = [list(level) for level in edge]

    @classmethod
    def read(cls, size: int, read: ReadTile) -> Frontier:
        """The frontier of a tree whose tiles are stored."""
        edge = []
        for level in range(-(-size.bit_length() // WIDTH_BITS)):
            full, width = divmod(size >> WIDTH_BITS * level, WIDTH)
            edge.append(hashes(read(Tile(level, full, width)), width) if width else [])
        return cls(size, edge)

    def extend(self, leaf_hashes: Iterable[bytes]) -> dict[Tile, bytes]:
        """Append leaves; returns the tiles that this needs, see `tiles.growth`."""
        made: dict[Tile, bytes] = {}
        added = list(leaf_hashes)
        self.size += len(added)
        level = 0
        while added:
            if level == len(self._edge):
                self._edge.append([])
            start = self.size >> WIDTH_BITS * level  # hashes of this level, with those added
            held = self._edge[level] + added
            index = (start - len(held)) // WIDTH
            above = []
            for at in range(0, len(held) - WIDTH + 1, WIDTH):
                full = held[at : at + WIDTH]
                made[Tile(level, index)] = b"".join(full)
                above.append(_root_of_full(full))
                index += 1
            left = held[len(above) * WIDTH :]
            if left:
                made[Tile(level, index, len(left))] = b"".join(left)
            self._edge[level], added = left, above
            level += 1
        return made

    def root(self) -> bytes:
        """The root of the tree; about 255 hashes a level."""
        result: bytes | None = None
        for level in self._edge:  # from the right edge to the left
            for node in reversed(_perfect(level)):
                result = node if result is None else node_hash(node, result)
        return EMPTY_ROOT if result is None else result


class TileTree:
    """A stored tree of `size` leaves. Reads tiles as needed and remembers them."""

    def __init__(self, size: int, read: ReadTile) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[Tile, list[bytes]] = {}

    def root(self) -> bytes:
        """The root, from the tiles."""
        return self._range(0, self.size) if self.size else EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf."""
        return self._perfect(0, index)

    def inclusion(self, index: int) -> list[bytes]:
        """The path from a leaf's sibling up to the root's child (RFC 9162 §2.1.3.1).

        Raises: Rejected ``ledger.index``: the tree has no such leaf.
        """
        if not 0 <= index < self.size:
            raise Rejected("ledger.index", f"{index} of {self.size}")
        return self._path(index, 0, self.size)

    def consistency(self, before: int) -> list[bytes]:
        """The proof that this tree begins with one of `before` leaves (RFC 9162 §2.1.4.1).

        Raises: Rejected ``ledger.size``: there is nothing to prove of an empty or a larger tree.
        """
        if not 0 < before <= self.size:
            raise Rejected("ledger.size", f"{before} of {self.size}")
        return self._subproof(before, 0, self.size, known=True)

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._range(middle, end)]
        return [*self._path(index, middle, end), self._range(start, middle)]

    def _subproof(self, before: int, start: int, end: int, *, known: bool) -> list[bytes]:
        if before == end:
            return [] if known else [self._range(start, end)]
        middle = start + _split(end - start)
        if before <= middle:
            return [*self._subproof(before, start, middle, known=known), self._range(middle, end)]
        return [*self._subproof(before, middle, end, known=False), self._range(start, middle)]

    def _range(self, start: int, end: int) -> bytes:
        """The root over leaves `start` … `end`, as RFC 6962 splits them: `start` is a multiple of the split."""
        count = end - start
        if count & (count - 1) == 0:
            return self._perfect(count.bit_length() - 1, start >> count.bit_length() - 1)
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def _perfect(self, height: int, index: int) -> bytes:
        """The node over the 2^height leaves from index × 2^height: it and all below it lie within one tile."""
        level, up = divmod(height, WIDTH_BITS)
        first = index << up
        tile, at = divmod(first, WIDTH)
        return root(self._hashes(level, tile)[at : at + (1 << up)])

    def _hashes(self, level: int, index: int) -> list[bytes]:
        width = min((self.size >> WIDTH_BITS * level) - index * WIDTH, WIDTH)
        if width <= 0:
            raise InvariantBroken(f"tile {level}/{index} is not in a tree of {self.size}")
        tile = Tile(level, index, width)
        if tile not in self._tiles:
            self._tiles[tile] = hashes(self._read(tile), width)
        return self._tiles[tile]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root_hash: bytes) -> None:
    """The leaf hash stands at `index` in the tree of that size and root; Rejected ``ledger.not_included``."""
    try:
        found = root_from_path(leaf, index, size, path)
    except Rejected as exc:
        raise Rejected("ledger.not_included", exc.detail) from exc
    if found != root_hash:
        raise Rejected("ledger.not_included", f"leaf {index}: the path leads to another root")


def check_consistency(before: int, old: bytes, after: int, new: bytes, proof: Sequence[bytes]) -> None:
    """The tree (`after`, `new`) begins with the tree (`before`, `old`): RFC 9162 §2.1.4.2.

    Raises: Rejected ``ledger.inconsistent``: one log has said two things, or the proof is wrong.
    """
    if not 0 <= before <= after:
        raise Rejected("ledger.inconsistent", f"a tree of {after} after one of {before}")
    if before == after or before == 0:
        if proof or (before == after and old != new) or (before == 0 and old != EMPTY_ROOT):
            raise Rejected("ledger.inconsistent", f"two roots of {before} leaves, or a proof where none is due")
        return
    # Steps 1 to 4. An earlier tree that is a perfect subtree is its own first node.
    path = list(proof) if before & (before - 1) else [old, *proof]
    if not path:
        raise Rejected("ledger.inconsistent", "no proof")
    place, last = before - 1, after - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    # Step 6.
    for node in path[1:]:
        if last == 0:
            raise Rejected("ledger.inconsistent", "the proof is too long")
        if place & 1 or place == last:
            first, second = _node(node, first), _node(node, second)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            second = _node(second, node)
        place, last = place >> 1, last >> 1
    # Step 7.
    if last or first != old or second != new:
        raise Rejected("ledger.inconsistent", f"{after} leaves don't begin with those {before}")


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _root_of_full(hashes_: list[bytes]) -> bytes:
    """The root of a full tile: `merkle.root` without its care for odd ends, as every leaf of the log pays for it."""
    level = hashes_
    while len(level) > 1:
        pairs = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


def _perfect(hashes_: Sequence[bytes]) -> list[bytes]:
    """The roots of the perfect subtrees that a partial tile falls into, from left to right."""
    found, at = [], 0
    for bit in reversed(range(WIDTH_BITS)):
        if len(hashes_) >> bit & 1:
            found.append(root(hashes_[at : at + (1 << bit)]))
            at += 1 << bit
    return found
