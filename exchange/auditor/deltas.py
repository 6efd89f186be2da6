"""The throughput deltas of one partition number: that they join without hole or repeat, and that they sum up.

Guarantees: each delta is compared with the recount of exactly its offsets; one with a finding among its
submissions is not compared, since the recount is in doubt then and the finding is there already. Holds the
deltas under way, not all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Cut
from exchange.auditor.findings import Findings
from exchange.statements import SUBMISSION_TOPICS, Fields

_KEY = ("minute", "kind", "outcome", "code", "urgency", "sender_level", "recipient_level")
_key_of = itemgetter(*_KEY)


CellKey = tuple[int, str, str, str, int, int, int]
"""What one cell counts: its fields named in `_KEY`; recipient's level 0 is the total's."""


@dataclass(slots=True)
class _Span:
    """A delta and the recount of its offsets."""

    first: int
    next: int
    stated: dict[CellKey, list[int]]
    counted: dict[CellKey, list[int]] = field(default_factory=dict)
    in_doubt: bool = False


class Deltas:
    """Compares as the recount goes along: `count` and `doubt` in the order of offsets, `finish` in the end."""

    def __init__(self, deltas: Iterator[Fields], number: int, cut: Cut, findings: Findings) -> None:
        self._deltas = deltas
        self._number = number
        self._cut = cut
        self._findings = findings
        self._waiting: dict[str, deque[Fields]] = {topic: deque() for topic in SUBMISSION_TOPICS}
        self._spans: dict[str, _Span | None] = dict.fromkeys(SUBMISSION_TOPICS)
        self._joined: dict[str, int | None] = {
            topic: None if cut.opening(topic, number) else 0 for topic in SUBMISSION_TOPICS
        }

    def count(self, topic: str, offset: int, key: CellKey, deliveries: int, size: int) -> None:
        """Recount one statement in one cell. `size`: bytes of its attachments."""
        span = self._span(topic, offset)
        if span is None:
            return
        cell = span.counted.get(key)
        if cell is None:
            span.counted[key] = [1, deliveries, size]
        else:
            cell[0] += 1
            cell[1] += deliveries
            cell[2] += size

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
        while (delta := self._pull(topic)) is not None:
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
                return _Span(first, after, _stated(delta), in_doubt=first < opening)
        return None

    def _gap(self, topic: str, first: int, end: int) -> None:
        at = Coordinates(topic, self._number, first)
        self._findings.add("audit.delta_gap", at, f"no delta covers {first} to {end - 1}")

    def _pull(self, topic: str) -> Fields | None:
        queue = self._waiting[topic]
        while not queue:
            delta = next(self._deltas, None)
            if delta is None:
                return None
            self._waiting[delta["topic"]].append(delta)
        return queue.popleft()

    def _compare(self, topic: str, span: _Span) -> None:
        if span.in_doubt or span.stated == span.counted:
            return
        for key in (*span.counted, *span.stated):
            counted, stated = span.counted.get(key, [0, 0, 0]), span.stated.get(key, [0, 0, 0])
            if counted != stated:
                at = Coordinates(topic, self._number, span.first)
                sentence = (
                    f"up to {span.next - 1}, {dict(zip(_KEY, key, strict=True))}: stated {stated}, recounted {counted}"
                )
                self._findings.add("audit.delta_sums", at, sentence)
                return


def _stated(delta: Fields) -> dict[CellKey, list[int]]:
    cells: dict[CellKey, list[int]] = {}
    for cell in delta["cells"]:
        sums = cells.setdefault(_key_of(cell), [0, 0, 0])
        sums[0] += cell["documents"]
        sums[1] += cell["deliveries"]
        sums[2] += cell["bytes"]
    return cells
