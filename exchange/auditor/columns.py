"""What is expected from one source partition in one place, in columns of a few bytes, and ticked off.

Guarantees: an entry matches once; the usual case, in order, costs one comparison; what comes late is still
found, and told apart. About 30 bytes an entry, so millions of deliveries fit. Contents are compared by 64-bit
hashes under this process's random key, only ever for the same offset: a chance meeting is one in 2^64.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

MARK_MAX = 255


class Match(NamedTuple):
    """An entry ticked off. `late`: one of a higher offset was ticked off before."""

    place: int
    late: bool


class Column:
    """Entries in the order of their source offset. `payloads`: any shared object, to name things by."""

    __slots__ = ("_next", "_open", "contents", "marks", "offsets", "payloads", "taken")

    def __init__(self) -> None:
        self.offsets = array("q")
        self.contents = array("q")
        self.payloads: list[Any] = []
        self.marks = bytearray()
        self.taken = bytearray()
        self._next = 0
        self._open = 0

    def add(self, offset: int, content: int, payload: Any = None, mark: int = 0) -> None:  # noqa: ANN401
        """Expect one entry. `content`: a 64-bit `hash`; `mark`: one byte."""
        self._open += 1
        if not self.offsets or self.offsets[-1] <= offset:
            self.offsets.append(offset)
            self.contents.append(content)
            self.payloads.append(payload)
            self.marks.append(mark)
            self.taken.append(0)
            return
        place = bisect_right(self.offsets, offset)
        self.offsets.insert(place, offset)
        self.contents.insert(place, content)
        self.payloads.insert(place, payload)
        self.marks.insert(place, mark)
        self.taken.insert(place, 0)

    def take(self, offset: int, content: int) -> Match | None:
        """Tick off the entry with this offset and content; None if there is none left."""
        index = self._next
        if index < len(self.offsets) and self.offsets[index] == offset and self.contents[index] == content:
            return self._tick(index)
        for index in self.at(offset):
            if self.contents[index] == content and not self.taken[index]:
                return self._tick(index)
        return None

    def tick(self, index: int) -> Match:
        """Tick off an entry that is known to be meant, though its content differs."""
        return self._tick(index)

    def at(self, offset: int) -> range:
        """The entries with this offset, ticked off or not."""
        return range(bisect_left(self.offsets, offset), bisect_right(self.offsets, offset))

    def left(self) -> Iterator[int]:
        """The entries that were not ticked off."""
        index = self.taken.find(0) if self._open else -1
        while index >= 0:
            yield index
            index = self.taken.find(0, index + 1)

    @property
    def is_settled(self) -> bool:
        """Whether every entry is ticked off."""
        return self._open == 0

    def _tick(self, index: int) -> Match:
        self.taken[index] = 1
        self._open -= 1
        if index >= self._next:
            self._next = index + 1
            return Match(index, late=False)
        return Match(index, late=self.offsets[index] != self.offsets[self._next - 1])
