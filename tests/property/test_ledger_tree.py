"""The tree over tiles against RFC 6962's own recursive definition, for every small size and many larger ones."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.errors import InvariantBroken, Rejected
from exchange.ledger.tiles import Tile, growth
from exchange.ledger.tree import Frontier, TileTree, check_consistency, check_inclusion

LEAVES = [sha256(b"\x00" + str(n).encode()).digest() for n in range(1_000)]


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: Sequence[bytes], *, known: bool = True) -> list[bytes]:
    """RFC 6962 §2.1.2."""
    if m == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*naive_proof(m, leaves[:k], known=known), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], known=False), naive_root(leaves[:k])]


def split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


class Store:
    """Tiles in memory, read as the specification allows: a wider one for a partial one."""

    def __init__(self) -> None:
        self.tiles: dict[Tile, bytes] = {}

    def read(self, tile: Tile) -> bytes:
        wider = [tile._replace(width=width) for width in range(tile.width, 257)]
        return next(self.tiles[one] for one in wider if one in self.tiles)


def grown(steps: Sequence[int]) -> tuple[Store, Frontier]:
    """A tree that grew in these steps, its frontier read anew before each."""
    store, size = Store(), 0
    for step in steps:
        frontier = Frontier.read(size, store.read)
        made = frontier.extend(LEAVES[size : size + step])
        assert set(made) == set(growth(size, size + step))
        store.tiles |= made
        size += step
    return store, Frontier.read(size, store.read)


def test_every_size_to_300() -> None:
    store, frontier = Store(), Frontier()
    for size in range(1, 301):
        store.tiles |= frontier.extend([LEAVES[size - 1]])
        expected = naive_root(LEAVES[:size])
        assert frontier.root() == TileTree(size, store.read).root() == expected
        tree = TileTree(size, store.read)
        for index in {0, size // 2, size - 1, 7 % size, 255 % size}:
            path = tree.inclusion(index)
            assert path == naive_path(index, LEAVES[:size])
            check_inclusion(LEAVES[index], index, size, path, expected)


def test_empty_tree() -> None:
    assert Frontier().root() == TileTree(0, Store().read).root() == sha256(b"").digest()


def test_every_pair_of_sizes_to_40() -> None:
    store, _ = grown([40])
    for after in range(1, 41):
        new, tree = naive_root(LEAVES[:after]), TileTree(after, store.read)
        for before in range(1, after + 1):
            old, proof = naive_root(LEAVES[:before]), tree.consistency(before)
            assert proof == naive_proof(before, LEAVES[:after])
            check_consistency(before, old, after, new, proof)
            assert_refuses_others(before, old, after, new, proof)


def assert_refuses_others(before: int, old: bytes, after: int, new: bytes, proof: list[bytes]) -> None:
    wrong: list[tuple[int, bytes, int, bytes, list[bytes]]] = [
        (before, LEAVES[7], after, new, proof),
        (before, old, after, LEAVES[7], proof),
        (before, old, after, new, [*proof, LEAVES[7]]),
        (after + 1, old, after, new, proof),
    ]
    if proof:
        wrong += [(before, old, after, new, proof[:-1]), (before, old, after, new, [LEAVES[7], *proof[1:]])]
    for one in wrong:
        with pytest.raises(Rejected, match=r"ledger\.inconsistent"):
            check_consistency(*one)


def test_nothing_is_consistent_with_everything() -> None:
    check_consistency(0, naive_root([]), 5, naive_root(LEAVES[:5]), [])
    for wrong in ((0, LEAVES[0], 5, LEAVES[1], []), (0, naive_root([]), 5, LEAVES[1], [LEAVES[0]])):
        with pytest.raises(Rejected, match=r"ledger\.inconsistent"):
            check_consistency(*wrong)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5).filter(lambda steps: sum(steps) <= 1_000), st.data())
def test_however_it_grew(steps: list[int], data: st.DataObject) -> None:
    store, frontier = grown(steps)
    size = sum(steps)
    assert frontier.size == size
    assert frontier.root() == naive_root(LEAVES[:size])
    index = data.draw(st.integers(0, size - 1))
    tree = TileTree(size, store.read)
    assert tree.inclusion(index) == naive_path(index, LEAVES[:size])
    assert tree.leaf(index) == LEAVES[index]
    for before in [sum(steps[: n + 1]) for n in range(len(steps))]:
        check_consistency(before, naive_root(LEAVES[:before]), size, tree.root(), tree.consistency(before))


@pytest.mark.parametrize(("first", "second"), list(pairwise([1, 255, 256, 257, 511, 512, 513, 999])))
def test_a_leaf_elsewhere_is_refused(first: int, second: int) -> None:
    store, frontier = grown([1_000])
    path = TileTree(1_000, store.read).inclusion(first)
    check_inclusion(LEAVES[first], first, 1_000, path, frontier.root())
    for wrong in (
        (LEAVES[first], second, 1_000, path),
        (LEAVES[second], first, 1_000, path),
        (LEAVES[first], first, 999, path[:-1]),
        (LEAVES[first], first, 1_000, path[:-1]),
        (LEAVES[first], 1_000, 1_000, path),
    ):
        with pytest.raises(Rejected, match=r"ledger\.not_included"):
            check_inclusion(*wrong, frontier.root())


def test_what_the_tree_does_not_have() -> None:
    store, _ = grown([10])
    tree = TileTree(10, store.read)
    for index in (-1, 10):
        with pytest.raises(Rejected, match=r"ledger\.index"):
            tree.inclusion(index)
    for before in (0, 11):
        with pytest.raises(Rejected, match=r"ledger\.size"):
            tree.consistency(before)
    with pytest.raises(InvariantBroken):
        tree.leaf(300)
