"""The books of one transaction: for each source partition its trace, its throughput delta, its offsets.

Guarantees: one event a submission, in source order; the delta of a batch joins on to the one before it by
offset, so whoever adds them up sees a repeat or a hole. Text that was never verified is made printable and
short before it is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exchange.pipeline.columns import MINUTE_MS, Columns, Receipt
from exchange.pipeline.routing import Copy
from exchange.pipeline.submission import Submission
from exchange.statements import schema

TRACE = "trace"
DELTAS = "throughput.deltas"
TRACE_BYTES_MAX = 512 * 1024
"""About how much of trace goes into one record; the topic allows 8 MiB."""

_TRACE, _DELTA = schema("trace"), schema("delta")
_EVENT_BYTES = 400
_COPY_BYTES = 24

CellKey = tuple[int, str, str, str, int, int, int]
"""minute, kind, outcome, code, urgency, sender level, recipient level."""


Accepted = tuple[int, tuple[str, int, int], str | Receipt | None, Sequence[Copy], int]
"""What `PartitionBooks.count_accepted` is told of one statement."""


class OutRecord(NamedTuple):
    """A record to produce in the hop's transaction."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    traceparent: bytes | None = None


@dataclass(slots=True)
class PartitionBooks:
    """What one transaction did with one source partition. `accepted`: what isn't in the cells yet."""

    topic: str
    partition: int
    previous_next_offset: int
    next_offset: int
    events: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[CellKey, list[int]] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)
    minutes: dict[int, Columns] = field(default_factory=dict)

    def enter(self, submission: Submission, event: dict[str, Any]) -> None:
        """Write down the one event of a submission."""
        self.events.append(event)
        self.next_offset = submission.offset + 1

    def count_accepted(
        self, append_ms: int, head: tuple[str, int, int], said: str | Receipt | None, copies: Sequence[Copy], size: int
    ) -> None:
        """Count an accepted statement: once in the total's cell, once for each recipient level.

        `head`: kind, urgency, sender level. `said`: of a document or report, which also counts in the subtrees, its
        sender's; of a receipt, what it is. `size`: bytes of its attachments.
        """
        self.accepted.append((append_ms, head, said, copies, size))

    def count_other(self, append_ms: int, kind: str, outcome: str, code: str, subtree: str | None = None) -> None:
        """Count a submission that was not accepted. `subtree`: of its verified sender, if it was rejected."""
        minute = append_ms // MINUTE_MS
        if subtree is not None:
            (self.minutes.get(minute) or self._begin(minute)).refused.append(subtree)
        cell = self.cells.setdefault((minute, kind, outcome, code, 0, 0, 0), [0, 0, 0])
        cell[0] += 1

    def all_cells(self) -> dict[CellKey, list[int]]:
        """The cells of all that was counted so far."""
        cells, taken, self.accepted = self.cells, self.accepted, []
        for append_ms, (kind, urgency, sender_level), said, copies, size in taken:  # written out: it is for each
            minute = append_ms // MINUTE_MS
            columns = self.minutes.get(minute) or self._begin(minute)
            columns.appended.append(append_ms)
            received: list[str] = []
            if isinstance(said, str):
                columns.senders.append(said)
                received = columns.recipients
            elif said is not None:
                columns.receipts.append(said)
            counts: dict[int, int] = {0: 0}
            for _, _, level, partition, subtree, _ in copies:
                if partition >= 0:
                    received.append(subtree)
                    counts[0] += 1
                    counts[level] = counts.get(level, 0) + 1
            for recipient_level, deliveries in counts.items():
                key = (minute, kind, "accepted", "", urgency, sender_level, recipient_level)
                cell = cells.get(key)
                if cell is None:
                    cell = cells[key] = [0, 0, 0]
                cell[0] += 1
                cell[1] += deliveries
                cell[2] += size
        return cells

    def _begin(self, minute: int) -> Columns:
        columns = self.minutes[minute] = Columns()
        return columns

    def records(self, directory_offset: int, hop_ms: int, worker: str) -> Iterator[OutRecord]:
        """The trace records and the delta record."""
        key = f"{self.topic}/{self.partition}".encode()
        head = {
            "topic": self.topic,
            "partition": self.partition,
            "directory_offset": directory_offset,
            "hop_ms": hop_ms,
            "worker": worker,
        }
        for events in _portions(self.events):
            yield OutRecord(TRACE, self.partition, key, _TRACE.encode({**head, "events": events}))
        delta = {
            "topic": self.topic,
            "partition": self.partition,
            "previous_next_offset": self.previous_next_offset,
            "next_offset": self.next_offset,
            "cells": [_cell(key, sums) for key, sums in self.all_cells().items()],
            "minutes": [columns.fields(minute) for minute, columns in self.minutes.items()],
        }
        yield OutRecord(DELTAS, self.partition, key, _DELTA.encode(delta))


def _portions(events: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    portion: list[dict[str, Any]] = []
    size = 0
    for event in events:
        portion.append(event)
        size += _EVENT_BYTES + _COPY_BYTES * len(event["deliveries"])
        if size >= TRACE_BYTES_MAX:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _cell(key: CellKey, sums: list[int]) -> dict[str, Any]:
    minute, kind, outcome, code, urgency, sender_level, recipient_level = key
    return {
        "minute": minute,
        "kind": kind,
        "outcome": outcome,
        "code": code,
        "urgency": urgency,
        "sender_level": sender_level,
        "recipient_level": recipient_level,
        "documents": sums[0],
        "deliveries": sums[1],
        "bytes": sums[2],
    }


def printable(text: str, most: int) -> str:
    """Hostile text made fit for a trace: at most `most` characters, unprintable ones replaced by U+FFFD."""
    short = text if len(text) <= most else text[:most]
    return short if short.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in short)
