"""What the windows say, for whoever holds it against a recount: hours by source partition, and what they leave out.

Guarantees: one moment of the store. Each hour bears the offset of the state that its sums are of.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Connection

from exchange.views.throughput.store import Source, ThroughputStore
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN, Cell, Gap

_POSITIONS = "SELECT topic, partition, next_offset, newest_minute FROM positions"
_GAPS = "SELECT topic, partition, first_offset, next_offset, from_minute, until_minute FROM gaps ORDER BY 1, 2, 3"
_HOURS = """
SELECT topic, partition, start, next_offset, sender_level, recipient_level, kind, outcome, code, urgency,
    documents, deliveries, bytes
FROM cells WHERE size = %s
"""


class Stated(NamedTuple):
    """`positions`: next offset of each source partition counted. `closed`: minute up to which its hours are closed.
    `hours`: by source and first minute, the sums of each cell (documents, deliveries, bytes), and the next offset of
    the latest state that they are of. `gaps`: what was never counted."""

    positions: dict[Source, int]
    closed: dict[Source, int]
    hours: dict[tuple[Source, int], tuple[dict[Cell, list[int]], int]]
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
        for topic, partition, start, next_offset, *rest in connection.execute(_HOURS, [SIZES_MIN["hour"]]):
            place = (topic, partition), start
            cells, latest = found.hours.get(place, ({}, 0))
            sums = cells.setdefault(Cell(*rest[:6]), [0, 0, 0])
            for number, count in enumerate(rest[6:]):
                sums[number] += count
            found.hours[place] = cells, max(latest, next_offset)
        return found


def _gaps(connection: Connection[Any]) -> list[tuple[Source, Gap]]:
    return [((topic, partition), Gap(*rest)) for topic, partition, *rest in connection.execute(_GAPS)]
