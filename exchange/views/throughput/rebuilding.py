"""Making the throughput's rows again from the deltas, without Faust, and telling how the present ones differ.

Guarantees: the new rows are filled in beside the present ones and take their place in one transaction; a rebuild that
dies leaves the present ones. Every window that is closed as of the present positions is compared, row by row, with
what is counted again; so are gaps, and rows of windows that never were. Open windows aren't compared, since their
newest changes may not be stored yet. The counting may run meanwhile: it waits for the comparison, then goes on in the
new rows, which are as far as the topic or further than it, and of which only those of later states are replaced.

Does not touch Faust's table: what is counted there is right or wrong as before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from exchange.backbone.clients import Config, reader
from exchange.backbone.reading import partitions_of, read_to_end
from exchange.errors import Misconfigured, Unavailable
from exchange.pipeline.books import DELTAS
from exchange.statements import Fields
from exchange.views import trace_schema
from exchange.views.throughput.packing import delta_of
from exchange.views.throughput.store import SCHEMA, Batch, Source, ThroughputStore, ThroughputWriter, positions_in
from exchange.views.throughput.windows import SIZES_MIN, Folding, State, window_of

_PART = "size, start, topic, partition, since"
_TABLES = {
    "cells": f"{_PART}, sender_level, recipient_level, kind, outcome, code, urgency, documents, deliveries, bytes",
    "subtrees": f"{_PART}, path, sent, received, refused, receipts",
    "sketches": f"{_PART}, measure, level, bucket, counted",
}
"""The tables of sums, and their columns without the state that a row is of."""
_LOCK = "LOCK TABLE cells, subtrees, sketches, positions, gaps IN ACCESS EXCLUSIVE MODE"
"""In the order in which they are written, so that neither waits for the other."""

# What is counted again of closed windows is here; and what is here of windows that are closed is counted again. Rows of
# windows open in both are left out, and rows of a state beyond what is compared.
_MISSING = "SELECT count(*) FROM (SELECT {columns} FROM {fresh} EXCEPT SELECT {columns} FROM {table}) AS missing"
_SURPLUS = """
SELECT count(*) FROM (
    SELECT {columns} FROM {table} t JOIN positions p USING (topic, partition)
    WHERE t.next_offset <= p.next_offset AND NOT EXISTS (
        SELECT FROM open_parts o WHERE (o.size, o.start, o.topic, o.partition, o.since)
            = (t.size, t.start, t.topic, t.partition, t.since)
    ) EXCEPT SELECT {columns} FROM {fresh}
) AS surplus
"""
_GAPS = """
SELECT count(*) FROM (
    (SELECT topic, partition, first_offset, next_offset FROM {fresh}
        EXCEPT SELECT topic, partition, first_offset, next_offset FROM gaps)
    UNION ALL (SELECT g.topic, g.partition, g.first_offset, g.next_offset FROM gaps g
        JOIN positions p USING (topic, partition) WHERE g.next_offset <= p.next_offset
        EXCEPT SELECT topic, partition, first_offset, next_offset FROM {fresh})
) AS other
"""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did. `closed`: windows counted again; `differences`: how the rows before were wrong, one line a
    table, empty if they were right; None if there were none of this layout."""

    deltas: int
    closed: int
    differences: list[str] | None


def rebuild(base: Config, database_url: str, *, topic: str = DELTAS, schema: str = SCHEMA) -> Rebuilt:
    """Count all deltas again, compare, put the new rows in the place of the present ones.

    Raises: Unavailable (also ``throughput.rebuilding``: somebody else is at it), Misconfigured, InvariantBroken. The
        present rows then stay.
    """
    present, fresh = ThroughputStore(database_url, schema), ThroughputStore(database_url, f"{schema}_next")
    with _alone(present, schema):
        with fresh.connect() as connection:
            trace_schema.drop(connection, fresh.schema)
        fresh.prepare()
        again = _Again(base, topic, fresh)
        is_comparable = _has_layout(present)
        differences: list[str] | None = None
        try:
            again.count(present.positions() if is_comparable else None)
            with present.connect() as connection:
                if is_comparable:
                    connection.execute(_LOCK)
                    again.count(positions_in(connection))
                    differences = _differences(connection, fresh.schema, again.open_parts())
                again.count(None)
                again.write_open()
                trace_schema.drop(connection, schema)
                trace_schema.rename(connection, fresh.schema, schema)
        finally:
            again.close()
    return Rebuilt(again.deltas, again.closed, differences)


class _Again:
    """The deltas, folded from the beginning as far as is asked, closed windows written as they close."""

    def __init__(self, base: Config, topic: str, store: ThroughputStore) -> None:
        self._base, self._topic = base, topic
        self._writer = ThroughputWriter(store)
        asking = reader(base)
        try:
            self._starts: dict[tuple[str, int], int | None] = dict.fromkeys(
                (topic, partition) for partition in partitions_of(asking, topic)
            )
        finally:
            asking.close()
        self._waiting: dict[Source, deque[Fields]] = {}
        self._states: dict[Source, State] = {}
        self.deltas = self.closed = 0

    def count(self, until: dict[Source, int] | None) -> None:
        """Go on to these next offsets, or to the topic's end; what lies beyond waits."""
        self._fold(until)
        for portion in read_to_end(self._base, self._starts):
            for read in portion:
                delta = delta_of(read.value, read.append_ms)
                self._waiting.setdefault((delta["topic"], delta["partition"]), deque()).append(delta)
                self._starts[self._topic, read.partition] = read.offset + 1
            self._fold(until)

    def open_parts(self) -> list[tuple[int, int, str, int, int]]:
        """The parts that are open as far as was counted."""
        return [
            (SIZES_MIN[window.size], window.start, *source, window.since)
            for source, state in self._states.items()
            for window in map(window_of, state["windows"])
        ]

    def write_open(self) -> None:
        """Write open windows and positions."""
        batch = Batch()
        for source, state in self._states.items():
            batch.add_position(source, state)
            for key, cells in state["windows"].items():
                batch.add_cells(source, key, cells, state["next_offset"])
        self._writer.write(batch)

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()

    def _fold(self, until: dict[Source, int] | None) -> None:
        batch = Batch()
        for source, waiting in self._waiting.items():
            folding = Folding(self._states.get(source))
            while waiting and (until is None or waiting[0]["next_offset"] <= until.get(source, 0)):
                folding.add(waiting.popleft())
                self.deltas += 1
            step = folding.step()
            self._states[source] = step.state
            self.closed += len(step.closed)
            batch.add_closed(source, step)
        if not batch.is_empty:
            self._writer.write(batch)


def _differences(
    connection: Connection[Any], fresh: str, open_parts: list[tuple[int, int, str, int, int]]
) -> list[str]:
    connection.execute(
        "CREATE TEMPORARY TABLE open_parts (size int, start bigint, topic text, partition int, since bigint) "
        "ON COMMIT DROP"
    )
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO open_parts VALUES (%s, %s, %s, %s, %s)", open_parts)
    found = []
    for table, columns in _TABLES.items():
        names = {
            "columns": sql.SQL(columns), "table": sql.Identifier(table), "fresh": sql.Identifier(fresh, table),
        }  # fmt: skip
        missing, surplus = (_count(connection, sql.SQL(query).format(**names)) for query in (_MISSING, _SURPLUS))
        if missing or surplus:
            found.append(f"{table}: {missing} rows missing, {surplus} too many, counting an altered one as both")
    gaps = _count(connection, sql.SQL(_GAPS).format(fresh=sql.Identifier(fresh, "gaps")))
    return [*found, f"gaps: {gaps} differ"] if gaps else found


def _count(connection: Connection[Any], query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _has_layout(store: ThroughputStore) -> bool:
    """Whether what is there, now if not before, is of our layout."""
    try:
        store.prepare()
    except Misconfigured:
        return False
    return True


@contextmanager
def _alone(store: ThroughputStore, schema: str) -> Iterator[None]:
    """Keep every other rebuild of these rows away; PostgreSQL lets go when we die."""
    with store.connect() as connection:
        name = f"rebuild {schema}"
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
        connection.commit()
        if row != (True,):
            raise Unavailable("throughput.rebuilding", schema)
        yield
