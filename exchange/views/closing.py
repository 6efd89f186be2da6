"""The books of one hour, as the trace tells them: what the backbone states when it closes the hour.

For each sender (verified; else none), kind, and pair of levels: the submissions by what became of them (recipient's
level 0), and for each recipient's level the copies delivered and undeliverable. A submission without an event is
missing, and named.

Guarantees: about exactly the offsets that `Books.ranges` names, all of which the hop has decided; the same topics give
the same bytes. Computed from the trace alone, so that `exchange audit --hour`, which goes by the submissions and the
inboxes, is another way to the same sums.

Does not count receipts: a copy may be acknowledged long after its hour.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Consumer

from exchange.backbone.clients import Config, reader
from exchange.backbone.offsets import await_stable, committed, ends, first_since
from exchange.backbone.reading import Read, partitions_of, read_one, read_to_end
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.pipeline.books import TRACE
from exchange.statements import SUBMISSION_TOPICS, Fields, compose, identify, schema
from exchange.statements.hours import BOOKS_REGIME, Hour

VERSION = 1
MARGIN_MS = 3_600_000
"""The trace is read from so long before the hour: the broker's clock may have stepped back meanwhile."""

MISSING_MAX = 10_000
"""Named; all are counted."""

COUNTS = ("accepted", "rejected", "duplicates", "set_aside", "delivered", "undeliverable")
_COLUMN = {"accepted": 0, "rejected": 1, "duplicate": 2, "set_aside": 3}
_DELIVERED, _UNDELIVERABLE = 4, 5

_TRACE = schema("trace")

Ranges = Mapping[tuple[str, int], tuple[int, int]]
"""Of each source partition the first offset, and the one after the last."""


class Row(NamedTuple):
    """What is counted together; `recipient_level` 0: the submissions themselves."""

    sender: str
    sender_level: int
    recipient_level: int
    kind: str


class Missing(NamedTuple):
    """A submission that nothing became of. `id`: what it claims, empty if it can't be read."""

    topic: str
    partition: int
    offset: int
    id: str


@dataclass(slots=True)
class Books:
    """The books of an hour. `missing_count`: of all, also of those not named."""

    hour: Hour
    ranges: Ranges
    rows: dict[Row, list[int]] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    missing_count: int = 0

    def count(self, event: Fields) -> None:
        """Count one event."""
        sender = event["sender"] if event["verified"] else ""
        level, kind = event["sender_level"], event["kind"]
        self._add(Row(sender, level, 0, kind), _COLUMN[event["outcome"]])
        for copy in event["deliveries"]:
            column = _DELIVERED if copy["partition"] >= 0 else _UNDELIVERABLE
            self._add(Row(sender, level, copy["level"], kind), column)

    def totals(self) -> dict[str, int]:
        """The sums over all rows."""
        return {name: sum(counts[place] for counts in self.rows.values()) for place, name in enumerate(COUNTS)}

    def encode(self) -> bytes:
        """The file that the statement attaches: JSON in one spelling (docs/hourly-books.md)."""
        content: dict[str, Any] = {
            "version": VERSION,
            "hour": self.hour.name,
            "ranges": [[*place, *span] for place, span in sorted(self.ranges.items()) if span[0] != span[1]],
            "counts": list(COUNTS),
            "rows": [[*row, *counts] for row, counts in sorted(self.rows.items())],
            "missing": [list(one) for one in sorted(self.missing)],
            "missing_count": self.missing_count,
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

    def statement(self, backbone: str, file: Mapping[str, Any]) -> Fields:
        """The report that states them, with the file attached; the same books give the same bytes."""
        figures = [(name, "record", count) for name, count in self.totals().items()]
        figures.append(("missing", "record", self.missing_count))
        fields = compose.report(
            backbone, self.hour.books_id, BOOKS_REGIME, self.hour.name, figures, signed_ms=self.hour.end_ms
        )  # fmt: skip
        return fields | {"attachments": [dict(file)]}

    def _add(self, row: Row, column: int) -> None:
        counts = self.rows.get(row)
        if counts is None:
            counts = self.rows[row] = [0] * len(COUNTS)
        counts[column] += 1


def close(base: Config, hour: Hour, group: str = "hop") -> Books:
    """The books of an hour that is over. `group`: the hop's.

    Raises: Unavailable ``hour.undecided`` while the hop hasn't decided all of it; others when Kafka doesn't answer.
    """
    asking = reader(base, group_id=group)
    try:
        partitions = partitions_of(asking, TRACE)
        ranges = {
            (topic, partition): (
                first_since(asking, topic, partition, hour.start_ms),
                first_since(asking, topic, partition, hour.end_ms),
            )
            for topic in SUBMISSION_TOPICS
            for partition in partitions
        }
        decided = committed(asking, partitions)
        behind = [place for place, (_, end) in ranges.items() if decided[place] < end]
        if behind:
            raise Unavailable("hour.undecided", f"{hour.name}: the hop is still at {behind[0][0]}/{behind[0][1]}")
        await_stable(base, [(TRACE, partition) for partition in partitions])
        books = Books(hour, ranges)
        for partition in partitions:
            _count(base, asking, books, partition)
    finally:
        asking.close()
    return books


def _count(base: Config, asking: Consumer, books: Books, partition: int) -> None:
    """Count one partition; where an event is not found near the hour, the whole trace is read for it."""
    seen = {
        topic: bytearray(end - first)
        for (topic, number), (first, end) in books.ranges.items()
        if number == partition and end > first
    }
    if not seen:
        return
    near = first_since(asking, TRACE, partition, books.hour.start_ms - MARGIN_MS)
    oldest, end = ends(asking, TRACE, partition)
    for first, last in ((near, end), (oldest, near)):
        if any(0 in flags for flags in seen.values()):
            for event, topic in _events(base, partition, first, last):
                place = event["offset"] - books.ranges[topic, partition][0]
                if topic in seen and 0 <= place < len(seen[topic]) and not seen[topic][place]:
                    seen[topic][place] = 1
                    books.count(event)
    for topic, flags in seen.items():
        _miss(base, books, topic, partition, flags)


def _events(base: Config, partition: int, first: int, end: int) -> Iterator[tuple[Fields, str]]:
    if first >= end:
        return
    with closing(read_to_end(base, {(TRACE, partition): first})) as portions:
        for portion in portions:
            for read in portion:
                if read.offset >= end:
                    return
                trace = _decoded(read)
                if trace["topic"] not in SUBMISSION_TOPICS:  # an erasure, which nobody submitted
                    continue
                for event in trace["events"]:
                    yield event, trace["topic"]


def _miss(base: Config, books: Books, topic: str, partition: int, flags: bytearray) -> None:
    """Name what has no event; an offset that holds no record (a marker) is nothing."""
    first = books.ranges[topic, partition][0]
    place = flags.find(0)
    while place >= 0:
        read = read_one(base, topic, partition, first + place)
        if read is not None:
            books.missing_count += 1
            if len(books.missing) < MISSING_MAX:
                books.missing.append(Missing(topic, partition, first + place, _claimed_id(read.value)))
        place = flags.find(0, place + 1)


def _decoded(read: Read) -> Fields:
    try:
        return _TRACE.decode(read.value)
    except Rejected as exc:
        raise InvariantBroken(f"the trace record {read.partition}/{read.offset} can't be read: {exc}") from exc


def _claimed_id(value: bytes) -> str:
    try:
        raw: bytes = schema("record").decode(value)["statement"]
        found = identify(raw).decode(raw).get("id", "")
    except Rejected:
        return ""
    return found[:64] if isinstance(found, str) and found.isprintable() else ""
