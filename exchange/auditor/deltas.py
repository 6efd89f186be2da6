"""The throughput deltas of one partition number: that they join without hole or repeat, and that they sum up.

Guarantees: each delta is compared with the recount of exactly its offsets; one with a finding among its
submissions is not compared, since the recount is in doubt then and the finding is there already. Holds the
deltas under way, not all of them. Of a delta of the first version, which has no columns, only the cells are compared.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from sys import byteorder
from typing import Any

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Cut
from exchange.auditor.findings import Findings
from exchange.statements import SUBMISSION_TOPICS, Fields

_KEY = ("minute", "kind", "outcome", "code", "urgency", "sender_level", "recipient_level")
_key_of = itemgetter(*_KEY)


Key = tuple[Any, ...]
"""What is counted: a cell, by its fields named in `_KEY` (recipient's level 0 is the total's); or an entry of a column
of ``schemas/delta``, by the column, the minute and what stands in it, a receipt's level and wait as ``waits``."""

Cells = list[tuple[Key, tuple[int, ...]]]
"""What one submission adds: documents, deliveries and bytes to a cell, a number to an entry."""

UNKNOWN: Key = ()
"""The key of what can't be recounted: a receipt whose document was never claimed, which is a finding by itself."""

Counted = Callable[[Coordinates, int, Key, tuple[int, ...]], None]
"""Told each statement as it is recounted without a finding, once for each key: its place, when the delta that covers it
was appended, key, sums."""


def ignore(_: Coordinates, __: int, ___: Key, ____: tuple[int, ...]) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class _Span:
    """A delta and the recount of its offsets."""

    first: int
    next: int
    append_ms: int
    stated: dict[Key, list[int]]
    has_columns: bool
    counted: dict[Key, list[int]] = field(default_factory=dict)
    in_doubt: bool = False


class Deltas:
    """Compares as the recount goes along: `count` and `doubt` in the order of offsets, `finish` in the end."""

    def __init__(
        self, deltas: Iterator[tuple[int, Fields]], number: int, cut: Cut, findings: Findings, told: Counted = ignore
    ) -> None:
        """`deltas`: with their append times; `told`: of what was recounted."""
        self._deltas = deltas
        self._told = told
        self._number = number
        self._cut = cut
        self._findings = findings
        self._waiting: dict[str, deque[tuple[int, Fields]]] = {topic: deque() for topic in SUBMISSION_TOPICS}
        self._spans: dict[str, _Span | None] = dict.fromkeys(SUBMISSION_TOPICS)
        self._joined: dict[str, int | None] = {
            topic: None if cut.opening(topic, number) else 0 for topic in SUBMISSION_TOPICS
        }

    def count(self, at: Coordinates, cells: Cells) -> None:
        """Recount one statement."""
        span = self._span(at.topic, at.offset)
        if span is None:
            return
        for key, sums in cells:
            if key == UNKNOWN:
                span.in_doubt = True
            elif span.has_columns or len(key) == len(_KEY):
                _add(span.counted, key, sums)
                self._told(at, span.append_ms, key, sums)

    def doubt(self, topic: str, offset: int) -> None:
        """The outcome at this offset isn't certain: don't compare the delta that covers it."""
        span = self._span(topic, offset)
        if span is not None:
            span.in_doubt = True

    def finish(self) -> None:
        """Compare what is left, and that each partition's deltas reach the cut."""
        for topic in SUBMISSION_TOPICS:
            end = self._cut.next(topic, self._number)
            self._span(topic, end)
            joined = self._joined[topic]
            if joined is None:
                joined = self._cut.opening(topic, self._number)
            if joined < end:
                self._gap(topic, joined, end)

    def _span(self, topic: str, offset: int) -> _Span | None:
        """The span that covers an offset; earlier ones are compared and left. None for what none covers."""
        span = self._spans[topic]
        while span is None or offset >= span.next:
            if span is not None:
                self._compare(topic, span)
            span = self._spans[topic] = self._following(topic)
            if span is None:
                return None
        return span if offset >= span.first else None

    def _following(self, topic: str) -> _Span | None:
        while (pulled := self._pull(topic)) is not None:
            append_ms, delta = pulled
            first, after = delta["previous_next_offset"], delta["next_offset"]
            if first >= self._cut.next(topic, self._number):
                return None
            joined, opening = self._joined[topic], self._cut.opening(topic, self._number)
            if joined is not None and first < joined:
                at = Coordinates(topic, self._number, first)
                self._findings.add("audit.delta_repeated", at, f"{first} to {after - 1}, joined up to {joined - 1}")
                continue
            if joined is not None and first > joined:
                self._gap(topic, joined, first)
            end = self._cut.next(topic, self._number)
            if after > end:
                at = Coordinates(topic, self._number, first)
                self._findings.add("audit.delta_repeated", at, f"{first} to {after - 1}, committed up to {end - 1}")
                self._joined[topic] = end
                return None
            self._joined[topic] = after
            if after > opening:
                has_columns = "minutes" in delta
                return _Span(first, after, append_ms, _stated(delta), has_columns, in_doubt=first < opening)
        return None

    def _gap(self, topic: str, first: int, end: int) -> None:
        at = Coordinates(topic, self._number, first)
        self._findings.add("audit.delta_gap", at, f"no delta covers {first} to {end - 1}")

    def _pull(self, topic: str) -> tuple[int, Fields] | None:
        queue = self._waiting[topic]
        while not queue:
            pulled = next(self._deltas, None)
            if pulled is None:
                return None
            self._waiting[pulled[1]["topic"]].append(pulled)
        return queue.popleft()

    def _compare(self, topic: str, span: _Span) -> None:
        if span.in_doubt or span.stated == span.counted:
            return
        for key in (*span.counted, *span.stated):
            counted, stated = span.counted.get(key, []), span.stated.get(key, [])
            if counted != stated:
                at = Coordinates(topic, self._number, span.first)
                what = dict(zip(_KEY, key, strict=True)) if len(key) == len(_KEY) else key
                sentence = f"up to {span.next - 1}, {what}: stated {stated or 0}, recounted {counted or 0}"
                self._findings.add("audit.delta_sums", at, sentence)
                return


def _stated(delta: Fields) -> dict[Key, list[int]]:
    stated: dict[Key, list[int]] = {}
    for cell in delta["cells"]:
        _add(stated, _key_of(cell), (cell["documents"], cell["deliveries"], cell["bytes"]))
    for columns in delta.get("minutes", ()):
        minute = columns["minute"]
        for name in ("senders", "recipients", "refused", "signers"):
            for path in columns[name].split():
                _add(stated, (name, minute, path), (1,))
        for at_ms in _numbers("H", columns["appended"]):
            _add(stated, ("appended", minute, at_ms), (1,))
        waits = _numbers("I", columns["waits"])
        for place in range(max(len(columns["levels"]), len(waits))):
            receipt = (*columns["levels"][place : place + 1], *waits[place : place + 1])
            _add(stated, ("waits", minute, receipt), (1,))
    return stated


def _numbers(size: str, data: bytes) -> array[int]:
    """A column's numbers, of two bytes (``H``) or four (``I``); bytes that aren't whole numbers are none."""
    numbers = array(size)
    numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def _add(cells: dict[Key, list[int]], key: Key, sums: tuple[int, ...]) -> None:
    before = cells.get(key)
    if before is None:
        cells[key] = [*sums]
    else:
        before[:] = [a + b for a, b in zip(before, sums, strict=True)]
