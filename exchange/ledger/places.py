"""Where each leaf comes from, and its salt: the private side of the entry bundles, cut as they are.

A bundle (``places/<N>``) has 32 bytes a leaf: salt (16; zeros once destroyed or lost), then partition (4), offset (8)
and index (4) of its event in the trace, big-endian. In front of them, with their count (2), the next offset (8) of
each partition (4) of the trace as of the bundle's first leaf: so a leaf is found by its event in log₂ steps.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exchange.backbone.objects import Objects
from exchange.errors import InvariantBroken
from exchange.ledger.leaves import SALT_BYTES
from exchange.ledger.order import Taken
from exchange.ledger.tiles import WIDTH, numbered

NO_SALT = bytes(SALT_BYTES)
FOLDER = "places"

_COUNT, _POSITION, _PLACE = struct.Struct(">H"), struct.Struct(">IQ"), struct.Struct(">16sIQI")
_EVENT_BYTES = 4


class Place(NamedTuple):
    """A leaf's salt, and the coordinates in the trace of its event: the `event`-th of that record."""

    salt: bytes
    partition: int
    offset: int
    event: int


@dataclass(slots=True)
class Bundle:
    """The places of up to 256 leaves. `positions`: of the trace, before the first of them."""

    positions: dict[int, int] = field(default_factory=dict)
    places: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        """The bundle's bytes."""
        positions = [_POSITION.pack(*item) for item in sorted(self.positions.items())]
        return b"".join([_COUNT.pack(len(positions)), *positions, *self.places])

    @classmethod
    def decode(cls, data: bytes) -> Bundle:
        """Read a bundle; InvariantBroken if it is damaged."""
        try:
            (count,) = _COUNT.unpack_from(data)
            start = _COUNT.size + count * _POSITION.size
            positions = dict(_POSITION.iter_unpack(data[_COUNT.size : start]))
            places = [data[at : at + _PLACE.size] for at in range(start, len(data), _PLACE.size)]
            if places and len(places[-1]) != _PLACE.size:
                raise InvariantBroken(f"a bundle of places of {len(data)} bytes")
        except struct.error as exc:
            raise InvariantBroken(f"a damaged bundle of places: {exc}") from exc
        return cls(positions, places)

    def place(self, at: int) -> Place:
        """One leaf's place."""
        return Place(*_PLACE.unpack(self.places[at]))


def path(number: int, width: int = WIDTH) -> str:
    """Where a bundle lies."""
    return f"{FOLDER}/{numbered(number, width)}"


def read(folder: Objects, number: int, width: int) -> Bundle | None:
    """The first `width` places of a bundle, from it or from a wider one; None if it was lost."""
    for name in (path(number, width), path(number)):
        data = folder.read(name)
        if data is not None:
            found = Bundle.decode(data)
            return Bundle(found.positions, found.places[:width]) if len(found.places) >= width else None
    return None


def salts(folder: Objects, first: int, end: int) -> list[bytes]:
    """The salts of leaves `first` … `end`, of a tree that had `end` leaves once; `NO_SALT` where they were lost."""
    found: list[bytes] = []
    for number in range(first // WIDTH, -(-end // WIDTH)):
        start, width = max(number * WIDTH, first), min(end - number * WIDTH, WIDTH)
        bundle = read(folder, number, width)
        places = range(start - number * WIDTH, width)
        found += [NO_SALT if bundle is None else bundle.place(at).salt for at in places]
    return found


class PlaceWriter:
    """Writes bundles as the tree grows. `bundle`: the one that isn't full yet."""

    def __init__(self, folder: Objects, size: int, positions: Mapping[int, int]) -> None:
        self._folder = folder
        self._size = size
        self.positions = dict(positions)
        width = size % WIDTH
        found = read(folder, size // WIDTH, width) if width else Bundle(dict(positions))
        # Lost places are found lost by whoever looks for them; the tree doesn't need them.
        self._bundle = found or Bundle(dict(positions), [_PLACE.pack(NO_SALT, 0, 0, 0)] * width)

    def extend(self, records: Sequence[Taken], salts: bytes) -> None:
        """Write the places of the next leaves; durable with the folder's next `sync`."""
        at = 0
        for partition, offset, events in records:
            index = 0
            while index < events:
                if len(self._bundle.places) == WIDTH:
                    self._bundle = Bundle({**self.positions, partition: offset})
                end = min(events, index + WIDTH - len(self._bundle.places))
                cut = [salts[n : n + SALT_BYTES] for n in range(at, at + (end - index) * SALT_BYTES, SALT_BYTES)]
                place = _POSITION.pack(partition, offset)
                self._bundle.places += [
                    salt + place + event.to_bytes(_EVENT_BYTES, "big")
                    for salt, event in zip(cut, range(index, end), strict=True)
                ]
                at, self._size, index = at + (end - index) * SALT_BYTES, self._size + end - index, end
                self.positions[partition] = offset + 1
                if len(self._bundle.places) == WIDTH:
                    self._folder.write(path(self._size // WIDTH - 1), self._bundle.encode())
        if self._size % WIDTH:
            self._folder.write(path(self._size // WIDTH, self._size % WIDTH), self._bundle.encode())

    def forget(self, index: int) -> None:
        """Overwrite the salt of a leaf wherever it lies: here, in its bundle, in its partial ones; durable with
        `sync`."""
        number, at = divmod(index, WIDTH)
        if number == self._size // WIDTH:
            self._bundle.places[at] = _without_salt(self._bundle.places[at])
        partial = f"{path(number)}.p"
        for name in [path(number), *(f"{partial}/{width}" for width in self._folder.names(partial))]:
            data = self._folder.read(name)
            bundle = None if data is None else Bundle.decode(data)
            if bundle is not None and at < len(bundle.places):
                bundle.places[at] = _without_salt(bundle.places[at])
                self._folder.write(name, bundle.encode())


def find(folder: Objects, size: int, partition: int, offset: int, index: int) -> tuple[int, Place] | None:
    """The leaf of an event in a tree of `size` leaves, and its place; None if it isn't there (yet), or was lost."""
    low, high = 0, -(-size // WIDTH)  # the first bundle that begins after the event's trace record
    while low < high:
        middle = (low + high) // 2
        bundle = _bundle_of(folder, middle, size)
        if bundle is not None and bundle.positions.get(partition, 0) > offset:
            high = middle
        else:
            low = middle + 1
    for number in range(low - 1, -1, -1):
        bundle = _bundle_of(folder, number, size)
        if bundle is None:
            return None
        for at in range(len(bundle.places)):
            place = bundle.place(at)
            if place[1:] == (partition, offset, index):
                return number * WIDTH + at, place
        if bundle.positions.get(partition, 0) < offset:
            return None
    return None


def _without_salt(place: bytes) -> bytes:
    return NO_SALT + place[SALT_BYTES:]


def _bundle_of(folder: Objects, number: int, size: int) -> Bundle | None:
    return read(folder, number, min(size - number * WIDTH, WIDTH))
