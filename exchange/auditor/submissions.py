"""The submissions of one source partition, served in the order in which the trace asks for them.

Guarantees: each submission is served at most once; one that the trace passed over is kept for a while, since its
event may come late. Holds 8 bytes for each, and at most `SKIPPED_MAX` that were passed over.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from exchange.backbone.reading import Read

SKIPPED_MAX = 10_000


class Submissions:
    """A cursor. `passed`: told of each one that is passed over; `lost`: of each that can't be kept any longer."""

    def __init__(self, reads: Iterator[Read], passed: Callable[[Read], None], lost: Callable[[Read], None]) -> None:
        self._reads = reads
        self._passed = passed
        self._lost = lost
        self._head = next(reads, None)
        self._offsets = array("q")
        self._skipped: dict[int, Read] = {}
        self._highest_ms = 0

    def take(self, offset: int) -> tuple[Read, bool] | None:
        """Serve the submission at `offset`, and whether it is late; None if it isn't there or was served."""
        while self._head is not None and self._head.offset < offset:
            self._skip(self._head)
        head = self._head
        if head is not None and head.offset == offset:
            self._advance(head)
            return head, False
        late = self._skipped.pop(offset, None)
        return None if late is None else (late, True)

    def knows(self, offset: int) -> bool:
        """Whether a submission with this offset was there."""
        place = bisect_left(self._offsets, offset)
        return place < len(self._offsets) and self._offsets[place] == offset

    def is_time(self, read: Read, append_ms: int) -> bool:
        """Whether that is the append time: the record's, or the highest so far if the broker's clock went back."""
        return append_ms in (read.append_ms, max(read.append_ms, self._highest_ms))

    def rest(self) -> Iterator[Read]:
        """What was never served, in no order; afterwards nothing is left."""
        yield from self._skipped.values()
        self._skipped = {}
        while self._head is not None:
            head = self._head
            self._advance(head)
            yield head

    def _skip(self, read: Read) -> None:
        self._passed(read)
        self._skipped[read.offset] = read
        if len(self._skipped) > SKIPPED_MAX:
            self._lost(self._skipped.pop(next(iter(self._skipped))))
        self._advance(read)

    def _advance(self, read: Read) -> None:
        self._offsets.append(read.offset)
        self._highest_ms = max(self._highest_ms, read.append_ms)
        self._head = next(self._reads, None)
