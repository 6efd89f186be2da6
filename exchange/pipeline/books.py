"""The books of one transaction: for each source partition its trace, its throughput delta, its offsets.

Guarantees: one event a submission, in source order; the delta of a batch joins on to the one before it by
offset, so whoever adds them up sees a repeat or a hole. Text that was never verified is made printable and
short before it is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


class OutRecord(NamedTuple):
    """A record to produce in the hop's transaction."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    traceparent: bytes | None = None


@dataclass(slots=True)
class PartitionBooks:
    """What one transaction did with one source partition."""

    topic: str
    partition: int
    previous_next_offset: int
    next_offset: int
    events: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[CellKey, list[int]] = field(default_factory=dict)

    def enter(self, submission: Submission, event: dict[str, Any]) -> None:
        """Write down the one event of a submission."""
        self.events.append(event)
        self.next_offset = submission.offset + 1

    def count_accepted(self, head: tuple[int, str, int, int], copies: Sequence[Copy], size: int) -> None:
        """Count an accepted statement: once in the total's cell, once for each recipient level.

        `head`: minute, kind, urgency, sender level. `size`: bytes of its attachments.
        """
        minute, kind, urgency, sender_level = head
        reached: dict[int, int] = {}
        for copy in copies:
            if copy.is_deliverable:
                reached[copy.level] = reached.get(copy.level, 0) + 1
        self._count((minute, kind, "accepted", "", urgency, sender_level, 0), sum(reached.values()), size)
        for level, deliveries in reached.items():
            self._count((minute, kind, "accepted", "", urgency, sender_level, level), deliveries, size)

    def count_other(self, minute: int, kind: str, outcome: str, code: str) -> None:
        """Count a submission that was not accepted."""
        self._count((minute, kind, outcome, code, 0, 0, 0), 0, 0)

    def _count(self, key: CellKey, deliveries: int, size: int) -> None:
        cell = self.cells.get(key)
        if cell is None:
            self.cells[key] = [1, deliveries, size]
        else:
            cell[0] += 1
            cell[1] += deliveries
            cell[2] += size

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
            "cells": [_cell(key, sums) for key, sums in self.cells.items()],
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
