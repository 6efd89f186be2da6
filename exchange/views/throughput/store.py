"""The throughput in PostgreSQL: rows that say the same however often, late or twice at once they are written.

Guarantees: a write is one database transaction; each row bears the offset of the state that it is of, and only a
later state's row replaces it. So replays change nothing, and of two writers the one that lags harms nothing.
Not guaranteed: that it is up to date; `positions` says how far it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from exchange.errors import InvariantBroken, Unavailable
from exchange.views import trace_schema
from exchange.views.throughput.names import Cell, Latency, Receipts, Subtree, named
from exchange.views.throughput.windows import SIZES_MIN, Cells, Gap, State, Step, window_of

SCHEMA = "throughput_v2"
"""The PostgreSQL schema of this version of the view."""

Source = tuple[str, int]
"""Source topic and partition."""

_LAYOUT = Path(__file__).with_name("schema.sql")
_CONNECTION: dict[str, str | int] = {
    "application_name": "exchange throughput",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# Rows travel as one JSON array of arrays: an array for each column costs psycopg five times as much.
_POSITIONS = """
INSERT INTO positions SELECT row->>0, (row->>1)::int, (row->>2)::bigint, (row->>3)::bigint
FROM json_array_elements(%s::json) AS row
ON CONFLICT (topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, newest_minute = excluded.newest_minute
    WHERE excluded.next_offset > positions.next_offset
"""
_CELLS = """
INSERT INTO cells SELECT (row->>0)::int, (row->>1)::bigint, row->>2, (row->>3)::int, (row->>4)::bigint,
    (row->>5)::smallint, (row->>6)::smallint, row->>7, row->>8, row->>9, (row->>10)::smallint,
    (row->>11)::bigint, (row->>12)::bigint, (row->>13)::bigint, (row->>14)::bigint
FROM json_array_elements(%s::json) AS row
ON CONFLICT (size, start, topic, partition, since, sender_level, recipient_level, kind, outcome, code, urgency)
    DO UPDATE SET documents = excluded.documents, deliveries = excluded.deliveries, bytes = excluded.bytes,
        next_offset = excluded.next_offset
    WHERE excluded.next_offset > cells.next_offset
"""
_SUBTREES = """
INSERT INTO subtrees SELECT (row->>0)::int, (row->>1)::bigint, row->>2, (row->>3)::int, (row->>4)::bigint,
    row->>5, (row->>6)::bigint, (row->>7)::bigint, (row->>8)::bigint, (row->>9)::bigint, (row->>10)::bigint
FROM json_array_elements(%s::json) AS row
ON CONFLICT (size, start, topic, partition, since, path)
    DO UPDATE SET sent = excluded.sent, received = excluded.received, refused = excluded.refused,
        receipts = excluded.receipts, next_offset = excluded.next_offset
    WHERE excluded.next_offset > subtrees.next_offset
"""
_SKETCHES = """
INSERT INTO sketches SELECT (row->>0)::int, (row->>1)::bigint, row->>2, (row->>3)::int, (row->>4)::bigint,
    row->>5, (row->>6)::smallint, (row->>7)::smallint, (row->>8)::bigint, (row->>9)::bigint
FROM json_array_elements(%s::json) AS row
ON CONFLICT (size, start, topic, partition, since, measure, level, bucket)
    DO UPDATE SET counted = excluded.counted, next_offset = excluded.next_offset
    WHERE excluded.next_offset > sketches.next_offset
"""
_GAPS = """
INSERT INTO gaps SELECT row->>0, (row->>1)::int, (row->>2)::bigint, (row->>3)::bigint, (row->>4)::bigint,
    (row->>5)::bigint
FROM json_array_elements(%s::json) AS row
ON CONFLICT DO NOTHING
"""

Row = tuple[Any, ...]


LATENCY, RECEIPTS = "latency", "receipt"
"""What sketches are of, see the layout."""


@dataclass(slots=True)
class Batch:
    """What one write holds, as rows of the tables."""

    positions: list[Row] = field(default_factory=list)
    cells: list[Row] = field(default_factory=list)
    subtrees: list[Row] = field(default_factory=list)
    sketches: list[Row] = field(default_factory=list)
    gaps: list[Row] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(rows for _, rows in self.statements())

    def statements(self) -> list[tuple[str, list[Row]]]:
        """What to execute on which rows."""
        return [
            (_CELLS, self.cells), (_SUBTREES, self.subtrees), (_SKETCHES, self.sketches),
            (_POSITIONS, self.positions), (_GAPS, self.gaps),
        ]  # fmt: skip

    def add_position(self, source: Source, state: State) -> None:
        """Say how far a source partition is counted."""
        self.positions.append((*source, state["next_offset"], state["newest_minute"]))

    def add_cells(self, source: Source, key: str, cells: Cells, next_offset: int) -> None:
        """Add sums of one window. `next_offset`: of the state that they are of."""
        window = window_of(key)
        head = (SIZES_MIN[window.size], window.start, *source, window.since)
        for name, sums in cells.items():
            match named(name):
                case Cell() as cell:
                    self.cells.append((*head, *cell, *sums, next_offset))
                case Subtree(path):
                    self.subtrees.append((*head, path, *sums, next_offset))
                case Latency(bucket):
                    self.sketches.append((*head, LATENCY, 0, bucket, *sums, next_offset))
                case Receipts(level, bucket):
                    self.sketches.append((*head, RECEIPTS, level, bucket, *sums, next_offset))

    def add_closed(self, source: Source, step: Step) -> None:
        """Add what a step's state forgets: closed windows, and gaps."""
        for key, cells in step.closed.items():
            self.add_cells(source, key, cells, step.state["next_offset"])
        for gap in step.gaps:
            self.add_gap(source, gap)

    def add_gap(self, source: Source, gap: Gap) -> None:
        """Say what was not counted."""
        self.gaps.append((*source, *gap))


class ThroughputStore:
    """The throughput in a database. `schema`: the PostgreSQL schema that it lives in."""

    def __init__(self, database_url: str, schema: str = SCHEMA) -> None:
        self._url = database_url
        self.schema = schema

    def open(self) -> Connection[Any]:
        """Open a connection on which the schema's tables need no qualifying. Raises psycopg's errors."""
        connection = psycopg.connect(make_conninfo(self._url, **_CONNECTION))
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
        connection.commit()
        return connection

    @contextmanager
    def connect(self) -> Iterator[Connection[Any]]:
        """Give such a connection; its block is one transaction.

        Raises: Unavailable ``postgres.unavailable``, ``throughput.missing``; InvariantBroken for other errors.
        """
        with _translated(), self.open() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection[Any]]:
        """Give a connection for reading, on which all queries see the same moment. Raises as `connect`."""
        with self.connect() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    def prepare(self) -> None:
        """Make the layout, unless it is there. Raises: Unavailable, Misconfigured."""
        with self.connect() as connection:
            trace_schema.apply(connection, self.schema, _LAYOUT)

    def positions(self) -> dict[Source, int]:
        """The next offset of each source partition of which something is counted."""
        with self.connect() as connection:
            return positions_in(connection)


def positions_in(connection: Connection[Any]) -> dict[Source, int]:
    """The same, over a connection of the store's."""
    rows = connection.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


class ThroughputWriter:
    """Writes batches over a connection that it keeps, and makes anew after an error; one thread at a time."""

    def __init__(self, store: ThroughputStore) -> None:
        self._store = store
        self._connection: Connection[Any] | None = None

    def write(self, batch: Batch) -> None:
        """Write and commit. Raises: Unavailable, after which the same may be written again; InvariantBroken."""
        try:
            with _translated():
                connection = self._connected()
                with connection.transaction():
                    for statement, rows in batch.statements():
                        if rows:
                            connection.execute(statement, [json.dumps(sorted(rows))])
        except Unavailable:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection[Any]:
        if self._connection is None:
            connection = self._store.open()
            # A closed window is forgotten once it is written here: PostgreSQL may not lose it with its machine.
            connection.execute("SET synchronous_commit TO on")
            connection.commit()
            self._connection = connection
        return self._connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
        raise Unavailable("postgres.unavailable", str(exc).strip() or type(exc).__name__) from exc
    except psycopg.errors.UndefinedTable as exc:
        raise Unavailable("throughput.missing", f"{exc}; nothing was ever counted here") from exc
    except psycopg.Error as exc:
        raise InvariantBroken(f"the throughput store refused: {exc}") from exc
