"""The throughput's windows held against the recount: that what Faust counted is what was submitted, hour by hour.

Guarantees: every closed hour of every source partition is compared, in all its figures, and one that differs is named
with its offsets; so is every gap that the counting itself told of. Not compared is only what can't be: hours that
reach beyond what is counted or kept, and those in which a finding or an erasure leaves the recount in doubt.
Memory holds the hours of one partition number.

Take what the windows state before the cut: the hop is ahead of them, never behind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Cut
from exchange.auditor.deltas import Key
from exchange.auditor.findings import Findings
from exchange.statements import SUBMISSION_TOPICS
from exchange.statements.hours import Hour

HOUR_MIN = 60
CELLS_NAMED = 3

Source = tuple[str, int]
Figure = tuple[Any, ...]
"""What an hour has sums of. A cell: sender's and recipient's level, kind, outcome, code, urgency. A subtree: its path.
A latency: its bucket. Receipts: their signer's level and the bucket of how long they took."""

_TREE = ("senders", "recipients", "refused", "signers")
"""The columns of a delta that are sums of a subtree, in their order."""


class StatedHour(NamedTuple):
    """One source partition's closed hour. `next_offset`: the windows' state that the sums are of."""

    cells: Mapping[Figure, Sequence[int]]
    next_offset: int


class Stated(NamedTuple):
    """What the windows say. `positions`: next offset counted; `closed`: minute up to which hours are closed;
    `hours`: by source and first minute; `gaps`: offsets never counted (first, next), and minutes (from, until)."""

    positions: Mapping[Source, int]
    closed: Mapping[Source, int]
    hours: Mapping[tuple[Source, int], StatedHour]
    gaps: Sequence[tuple[Source, tuple[int, int, int, int]]]


@dataclass(slots=True)
class _Recounted:
    """One source partition's hour, recounted. `first`, `last`: offsets."""

    first: int
    last: int
    cells: dict[Figure, list[int]] = field(default_factory=dict)


class Windows:
    """Compares partition number by partition number: `count` and `doubt`, then `finish`."""

    def __init__(self, stated: Stated) -> None:
        self._stated = stated
        self._hours: dict[tuple[Source, int], _Recounted] = {}
        self._doubted: set[tuple[Source, int]] = set()
        self.compared = 0
        """Hours of source partitions."""

    def count(self, at: Coordinates, append_ms: int, key: Key, sums: tuple[int, ...]) -> None:
        """Recount one statement in one figure, see `deltas`. `append_ms`: of the delta that covers it."""
        if len(key) > 3:
            minute, kind, outcome, code, urgency, sender_level, recipient_level = key
            figure: Figure = (sender_level, recipient_level, kind, outcome, code, urgency)
        else:
            what, minute, value = key
            if what in _TREE:
                figure = (value,)
                sums = tuple(int(column == what) for column in _TREE)
            elif what == "appended":
                figure = (bucket_of(append_ms - minute * 60_000 - value),)
            else:
                level, wait_ms = value
                figure = (level, bucket_of(wait_ms))
        cells = self._hour(at, minute).cells
        before = cells.get(figure)
        cells[figure] = [*sums] if before is None else [a + b for a, b in zip(before, sums, strict=True)]

    def doubt(self, at: Coordinates, append_ms: int) -> None:
        """What became of the submission at this place isn't certain: don't compare its hour."""
        minute = append_ms // 60_000
        self._hour(at, minute)
        self._doubted.add(((at.topic, at.partition), minute - minute % HOUR_MIN))

    def finish(self, number: int, cut: Cut, findings: Findings) -> None:
        """Compare the partition number's hours, and forget them."""
        for topic in SUBMISSION_TOPICS:
            source = (topic, number)
            for first, after, from_minute, until_minute in (gap for of, gap in self._stated.gaps if of == source):
                findings.add(
                    "audit.window_gap", Coordinates(topic, number, first), f"no window counts {first} to {after - 1}"
                )
                for minute in range(from_minute - from_minute % HOUR_MIN, until_minute + 1, HOUR_MIN):
                    self._doubted.add((source, minute))
            recounted = {start for of, start in self._hours if of == source}
            stated = {start for of, start in self._stated.hours if of == source}
            kept_from = -1 if not cut.opening(topic, number) else min(recounted, default=max(stated, default=0))
            for start in sorted(recounted | stated):
                if start > kept_from and (source, start) not in self._doubted:
                    self._compare(source, start, findings)
        self._hours.clear()
        self._doubted.clear()

    def _hour(self, at: Coordinates, minute: int) -> _Recounted:
        place = (at.topic, at.partition), minute - minute % HOUR_MIN
        hour = self._hours.get(place)
        if hour is None:
            hour = self._hours[place] = _Recounted(at.offset, at.offset)
        hour.first, hour.last = min(hour.first, at.offset), max(hour.last, at.offset)
        return hour

    def _compare(self, source: Source, start: int, findings: Findings) -> None:
        counted = self._stated.positions.get(source, 0)
        stated = self._stated.hours.get((source, start), StatedHour({}, 0))
        recounted = self._hours.get((source, start), _Recounted(0, -1))
        if (
            start + HOUR_MIN > self._stated.closed.get(source, 0)
            or max(recounted.last + 1, stated.next_offset) > counted
        ):
            return
        self.compared += 1
        said = {cell: list(sums) for cell, sums in stated.cells.items()}
        if said == recounted.cells:
            return
        differing = sorted(
            (cell for cell in said.keys() | recounted.cells if said.get(cell) != recounted.cells.get(cell)),
            key=lambda cell: (-len(cell), str(cell)),
        )
        cells = "; ".join(
            f"{'/'.join(map(str, cell))} {said.get(cell, 0)} not {recounted.cells.get(cell, 0)}"
            for cell in differing[:CELLS_NAMED]
        )
        where = f"offsets {recounted.first} to {recounted.last}" if recounted.cells else "no submission"
        findings.add(
            "audit.window_differs",
            Coordinates(*source, max(recounted.first, 0)),
            f"hour {Hour(start * 60_000).name}, {where}: counted {_total(said)}, recounted {_total(recounted.cells)}:"
            f" {cells}{' …' if len(differing) > CELLS_NAMED else ''}",
        )  # fmt: skip


def _total(cells: Mapping[Figure, Sequence[int]]) -> int:
    """Submissions, each once: those of the total's cells."""
    return sum(sums[0] for cell, sums in cells.items() if len(cell) > 2 and cell[1] == 0)


def bucket_of(ms: int) -> int:
    """The bucket of a time: bounds are 0, 1, 2 … and grow by a tenth, rounded down, once that is more than 1."""
    return bisect_left(_BOUNDS_MS, ms)


def _bounds() -> Iterator[int]:
    bound = 0
    while bound < _MS_MAX:
        yield bound
        bound += max(1, bound // 10)


_MS_MAX = 2**32
_BOUNDS_MS = list(_bounds())
