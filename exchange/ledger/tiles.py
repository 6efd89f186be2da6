"""Tiles: the tree cut into files that never change, 256 hashes or entries each.

Pure: which tiles there are, what they are called, and which of them a growing tree needs. A tile of `width` 256 is
full; a smaller one holds the first `width` hashes of a tile that isn't full yet.

Source: C2SP tlog-tiles v0.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from exchange.errors import InvariantBroken, Rejected

WIDTH = 256
WIDTH_BITS = 8
HASH_BYTES = 32
LEVELS_MAX = 8
"""Enough for any 64-bit size."""

_LENGTH_BYTES = 2


class Tile(NamedTuple):
    """Hashes `number` × 256 … of tile level `level`; at level 0 they are those of leaves."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies under the log's prefix."""
        return f"tile/{self.level}/{numbered(self.number, self.width)}"

    @property
    def full(self) -> Tile:
        """The tile that it is a part of."""
        return self._replace(width=WIDTH)


def numbered(index: int, width: int = WIDTH) -> str:
    """The number of a tile or bundle as a path: groups of three digits, and ``.p/W`` of a partial one."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups)) + (f".p/{width}" if width != WIDTH else "")


def entries_path(index: int, width: int = WIDTH) -> str:
    """Where a bundle of entries lies under the log's prefix."""
    return f"tile/entries/{numbered(index, width)}"


def at_level(level: int, size: int) -> Iterator[Tile]:
    """All tiles of one level in a tree of `size` leaves, the partial one last."""
    full, width = divmod(size >> WIDTH_BITS * level, WIDTH)
    for index in range(full):
        yield Tile(level, index)
    if width:
        yield Tile(level, full, width)


def growth(before: int, after: int) -> list[Tile]:
    """The tiles that a tree of `after` leaves has and one of `before` hadn't, level by level.

    They are what must be durable before a checkpoint of `after`.
    """
    if not 0 <= before <= after:
        raise InvariantBroken(f"a tree grew from {before} to {after}")
    found: list[Tile] = []
    for level in range(LEVELS_MAX):
        old, new = before >> WIDTH_BITS * level, after >> WIDTH_BITS * level
        if new == old:
            break
        found += (Tile(level, index) for index in range(old // WIDTH, new // WIDTH))
        if new % WIDTH:
            found.append(Tile(level, new // WIDTH, new % WIDTH))
    return found


def bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle: each entry with its length in front."""
    try:
        return b"".join([len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries])
    except OverflowError as exc:
        raise InvariantBroken("an entry that no bundle holds") from exc


def unbundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle; Rejected ``tile.malformed`` if they aren't `width`."""
    entries, at = [], 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        entries.append(data[start:at])
    if at != len(data) or len(entries) != width:
        raise Rejected("tile.malformed", f"{len(entries)} entries, not {width}")
    return entries


def hashes(data: bytes, width: int) -> list[bytes]:
    """The first `width` hashes of a tile at least as wide; Rejected ``tile.malformed``."""
    if len(data) % HASH_BYTES or len(data) < width * HASH_BYTES:
        raise Rejected("tile.malformed", f"{len(data)} bytes, not {width} hashes")
    return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
