"""What the windows say, for whoever holds it against a recount: hours by source partition, and what they leave out.

Guarantees: one moment of the store. Each hour bears the offset of the state that its sums are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from psycopg import Connection

from exchange.views.throughput.names import Cell, Counted, Latency, Receipts, Subtree
from exchange.views.throughput.store import LATENCY, Source, ThroughputStore
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN, Gap

_POSITIONS = "SELECT topic, partition, next_offset, newest_minute FROM positions"
_GAPS = "SELECT topic, partition, first_offset, next_offset, from_minute, until_minute FROM gaps ORDER BY 1, 2, 3"
_HOURS = """
SELECT topic, partition, start, next_offset, sender_level, recipient_level, kind, outcome, code, urgency,
    documents, deliveries, bytes
FROM cells WHERE size = %s
"""
_SUBTREES = """
SELECT topic, partition, start, next_offset, path, sent, received, refused, receipts FROM subtrees WHERE size = %s
"""
_SKETCHES = """
SELECT topic, partition, start, next_offset, measure, level, bucket, counted FROM sketches WHERE size = %s
"""


class Stated(NamedTuple):
    """`positions`: next offset of each source partition counted. `closed`: minute up to which its hours are closed.
    `hours`: by source and first minute, the sums of all that is counted, and the next offset of the latest state that
    they are of. `gaps`: what was never counted."""

    positions: dict[Source, int]
    closed: dict[Source, int]
    hours: dict[tuple[Source, int], tuple[dict[Counted, list[int]], int]]
    gaps: list[tuple[Source, Gap]]


def gaps(store: ThroughputStore) -> list[tuple[Source, Gap]]:
    """What was never counted. Raises: Unavailable, also ``throughput.missing`` before anything was."""
    with store.snapshot() as connection:
        return _gaps(connection)


def stated(store: ThroughputStore) -> Stated:
    """All hours. Raises: Unavailable, also ``throughput.missing`` before anything was counted."""
    with store.snapshot() as connection:
        found = Stated({}, {}, {}, _gaps(connection))
        for topic, partition, next_offset, newest_minute in connection.execute(_POSITIONS):
            found.positions[topic, partition] = next_offset
            found.closed[topic, partition] = newest_minute - LATENESS_MIN
        for *place, next_offset, counted, sums in _figures(connection):
            _add(found, place, next_offset, counted, sums)
        return found


def _figures(connection: Connection[Any]) -> Iterator[tuple[Any, ...]]:
    """topic, partition, start, next offset, what is counted, its sums: each row of the hours."""
    hour = [SIZES_MIN["hour"]]
    for *head, next_offset, sender_level, recipient_level, kind, outcome, code, urgency, a, b, c in connection.execute(
        _HOURS, hour
    ):
        yield *head, next_offset, Cell(sender_level, recipient_level, kind, outcome, code, urgency), [a, b, c]
    for *head, path, sent, received, refused, receipts in connection.execute(_SUBTREES, hour):
        yield *head, Subtree(path), [sent, received, refused, receipts]
    for *head, measure, level, bucket, counted in connection.execute(_SKETCHES, hour):
        yield *head, Latency(bucket) if measure == LATENCY else Receipts(level, bucket), [counted]


def _add(found: Stated, place: list[Any], next_offset: int, counted: Counted, sums: list[int]) -> None:
    topic, partition, start = place
    hour = (topic, partition), start
    cells, latest = found.hours.get(hour, ({}, 0))
    before = cells.get(counted)
    cells[counted] = sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
    found.hours[hour] = cells, max(latest, next_offset)


def _gaps(connection: Connection[Any]) -> list[tuple[Source, Gap]]:
    return [((topic, partition), Gap(*rest)) for topic, partition, *rest in connection.execute(_GAPS)]
