"""Tiles: the specification's paths and numbers, and what a growing tree needs."""

from __future__ import annotations

import pytest

from exchange.errors import InvariantBroken, Rejected
from exchange.ledger.tiles import Tile, at_level, bundle, entries_path, growth, hashes, numbered, unbundle


@pytest.mark.parametrize(
    ("index", "path"), [(0, "000"), (1, "001"), (999, "999"), (1000, "x001/000"), (1_234_067, "x001/x234/067")]
)
def test_numbers_as_paths(index: int, path: str) -> None:
    assert numbered(index) == path
    assert numbered(index, 7) == f"{path}.p/7"


def test_paths() -> None:
    assert Tile(0, 1000).path == "tile/0/x001/000"
    assert Tile(1, 0, 17).path == "tile/1/000.p/17"
    assert Tile(1, 0, 17).full == Tile(1, 0)
    assert entries_path(5, 3) == "tile/entries/005.p/3"


def test_size_of_the_specifications_example() -> None:
    assert [len(list(at_level(level, 70_000))) for level in range(4)] == [274, 2, 1, 0]
    assert list(at_level(0, 70_000))[-1].width == 112
    assert list(at_level(1, 70_000)) == [Tile(1, 0), Tile(1, 1, 17)]
    assert list(at_level(2, 70_000)) == [Tile(2, 0, 1)]
    assert list(at_level(0, 256)) == [Tile(0, 0)]
    assert list(at_level(1, 256)) == [Tile(1, 0, 1)]


@pytest.mark.parametrize("before", [0, 1, 255, 256, 257, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("more", [0, 1, 255, 256, 512, 70_000])
def test_growth_is_what_the_larger_tree_has_and_the_smaller_had_not(before: int, more: int) -> None:
    after = before + more
    old, new = ({tile for level in range(4) for tile in at_level(level, size)} for size in (before, after))
    assert set(growth(before, after)) == new - old


def test_a_tree_does_not_shrink() -> None:
    with pytest.raises(InvariantBroken):
        growth(2, 1)


def test_bundles() -> None:
    assert bundle([b"a", b"bc", b""]).hex() == "000161" + "00026263" + "0000"
    assert unbundle(bundle([b"a", b"bc", b""]), 3) == [b"a", b"bc", b""]
    for data, width in ((b"\x00\x02a", 1), (bundle([b"a"]), 2), (b"\x00", 1)):
        with pytest.raises(Rejected, match=r"tile\.malformed"):
            unbundle(data, width)
    with pytest.raises(InvariantBroken):
        bundle([bytes(65_536)])


def test_hashes_of_a_wider_tile_do() -> None:
    data = bytes(32) + b"\x01" * 32
    assert hashes(data, 1) == [bytes(32)]
    for wrong in (data[:-1], b""):
        with pytest.raises(Rejected, match=r"tile\.malformed"):
            hashes(wrong, 1)
