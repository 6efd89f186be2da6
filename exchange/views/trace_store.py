"""The trace store: what happened to every submission, in PostgreSQL, one database transaction a portion.

What a crash leaves, step by step; the projection then goes on from the offsets stored here:

| it dies … | rows and offsets | so |
|---|---|---|
| before or while rows are copied | untouched | the portion is read again |
| after the copy, before the commit | untouched: rolled back | the portion is read again |
| while the commit is under way | both or neither | gone on from, or read again |
| after the commit, PostgreSQL with it | both or neither (``synchronous_commit`` is off) | gone on from, or read again |

Not guaranteed: that the store is up to date; it follows the trace. Only `TraceProjection` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from exchange.errors import InvariantBroken, Unavailable
from exchange.views import trace_schema
from exchange.views.trace_rows import COLUMNS, Portion

_CONNECTION: dict[str, str | int] = {
    "application_name": "exchange",
    "connect_timeout": 5,
    # A server that vanished without a word is noticed within about half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# The last three keep the planner to the one order of _CHANGE that stays fast whatever it knows of the tables.
_WRITER_SETTINGS = (
    "SET synchronous_commit TO off; SET jit TO off; SET enable_seqscan TO off; "
    "SET enable_hashjoin TO off; SET enable_mergejoin TO off"
)

_BEGIN = "INSERT INTO offsets VALUES (%(topic)s, %(partition)s, %(next)s) ON CONFLICT DO NOTHING"
_ADVANCE = """
UPDATE offsets SET next_offset = %(next)s
WHERE topic = %(topic)s AND partition = %(partition)s AND next_offset = %(expected)s
"""

# Each change looks its copy up by two keys (LIMIT keeps the order: a join may be turned round, and a national
# document's 10,599 changes then meet its 10,599 copies, each with each); the row is updated where it was found.
_CHANGE = """
WITH found AS MATERIALIZED (
    SELECT d.place, c.state, c.request, c.receipt_ms, c.status_code, c.status_ms,
        c.recalled_ms
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[],
            %s::int[], %s::int[], %s::bigint[], %s::int[], %s::bigint[], %s::bigint[])
        AS c (thread, sender, id, recipient, state, request, receipt_ms, status_code, status_ms, recalled_ms),
    LATERAL (SELECT source_topic, partition, source_offset FROM documents m
        WHERE m.thread = c.thread AND m.sender = c.sender AND m.id = c.id LIMIT 1) AS m,
    LATERAL (SELECT ctid AS place FROM deliveries d
        WHERE d.source_topic = m.source_topic AND d.partition = m.partition
            AND d.source_offset = m.source_offset AND d.recipient = c.recipient LIMIT 1) AS d
), changed AS (
    UPDATE deliveries AS d SET
        state = asked(coalesce(c.state, d.state), coalesce(c.request, 0)),
        first_receipt_ms = coalesce(d.first_receipt_ms, c.receipt_ms),
        status_code = coalesce(c.status_code, d.status_code),
        status_ms = coalesce(c.status_ms, d.status_ms),
        recalled_ms = coalesce(d.recalled_ms, c.recalled_ms)
    FROM found AS c WHERE d.ctid = c.place
    RETURNING c.status_code IS NOT NULL AS by_status
)
SELECT count(*) FROM changed WHERE by_status
"""

# What senders and recipients wrote. A later document under the same names isn't meant, hence the place in the trace.
_BLANK = (
    """
UPDATE documents AS d SET code = '', type = '', subject = ''
WHERE thread = %(thread)s AND sender = %(sender)s AND id = %(id)s AND EXISTS (
    SELECT FROM events e
    WHERE e.source_topic = d.source_topic AND e.partition = d.partition AND e.source_offset = d.source_offset
        AND (e.trace_offset, e.trace_index) < (%(trace_offset)s, %(trace_index)s))
""",
    """
UPDATE events AS e SET terms = array_to_tsvector(ARRAY(SELECT lexeme FROM unnest(e.terms) WHERE lexeme !~ '^[cntw]'))
WHERE thread = %(thread)s AND sender = %(sender)s AND id = %(id)s AND outcome = 'accepted' AND terms IS NOT NULL
    AND (trace_offset, trace_index) < (%(trace_offset)s, %(trace_index)s)
""",
    """
UPDATE events SET reason = ''
WHERE thread = %(thread)s AND document_sender = %(sender)s AND document_id = %(id)s AND document_id IS NOT NULL
    AND (trace_offset, trace_index) < (%(trace_offset)s, %(trace_index)s)
""",
)

_CHANGED = ("state", "request", "receipt_ms", "status_code", "status_ms", "recalled_ms")

Probe = Callable[[str], None]
"""Told the name of each step as it is reached (``copied``, ``changed``, ``committed``); fault tests act there."""

log = structlog.get_logger(__name__)


def silent(_: str) -> None:
    """Probe nothing."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn PostgreSQL's errors into ours: the server's and the network's are `Unavailable`, others our bug.

    Raises: Unavailable ``postgres.unavailable``, ``trace_store.missing`` (`prepare` makes it); InvariantBroken.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
        raise Unavailable("postgres.unavailable", str(exc).strip() or type(exc).__name__) from exc
    except psycopg.errors.UndefinedTable as exc:
        raise Unavailable("trace_store.missing", f"{exc}; nothing was ever traced here") from exc
    except psycopg.Error as exc:
        raise InvariantBroken(f"the trace store refused: {exc}") from exc


class TraceStore:
    """The trace store in a database. `schema`: the PostgreSQL schema that it lives in."""

    def __init__(self, database_url: str, schema: str = trace_schema.SCHEMA) -> None:
        self.database_url = database_url
        self.schema = schema

    @contextmanager
    def connect(self) -> Iterator[Connection[Any]]:
        """Give a connection on which the schema's tables need no qualifying; its block is one transaction.

        Raises: Unavailable, InvariantBroken in place of PostgreSQL's errors.
        """
        with (
            translated(),
            psycopg.connect(make_conninfo(self.database_url, **_CONNECTION)) as connection,
        ):
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
            connection.commit()
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
            trace_schema.apply(connection, self.schema)

    def offsets(self, topic: str) -> dict[int, int]:
        """The next offset of each partition of which something is stored."""
        with self.connect() as connection:
            return offsets_in(connection, topic)


def offsets_in(connection: Connection[Any], topic: str) -> dict[int, int]:
    """The next offset of each partition, as the open transaction sees it."""
    rows = connection.execute("SELECT partition, next_offset FROM offsets WHERE topic = %s", [topic])
    return dict(rows.fetchall())


class TraceWriter:
    """Writes portions, over one connection. `positions`: next offsets as of the last commit, by partition.

    Raises, from every method: Unavailable. Then make another one: what is stored is where to go on.
    """

    def __init__(self, connection: Connection[Any], topic: str, probe: Probe = silent) -> None:
        self._connection = connection
        self._topic = topic
        self._probe = probe
        connection.execute(_WRITER_SETTINGS)
        self.positions = offsets_in(connection, topic)
        connection.commit()

    def write(self, portion: Portion) -> None:
        """Write a portion that begins at `positions`, and commit.

        Raises: Unavailable ``trace_store.moved``: another projection, or a rebuild, wrote meanwhile.
        """
        with self._connection.transaction():
            self._advance(portion.next_offsets)
            with self._connection.cursor() as cursor:
                for table, columns in COLUMNS.items():
                    with cursor.copy(_copy_into(table, columns)) as copy:
                        for row in portion.rows(table):
                            copy.write_row(row)
            self._probe("copied")
            self._change(portion)
            for blank in portion.blanks:
                for statement in _BLANK:
                    self._connection.execute(statement, blank._asdict())
            self._probe("changed")
        self.positions.update(portion.next_offsets)
        self._probe("committed")

    def _advance(self, next_offsets: Mapping[int, int]) -> None:
        """Move the offsets first: it locks them, so that of two writers the later one finds out."""
        for partition, offset in sorted(next_offsets.items()):
            expected = self.positions.get(partition)
            places = {"topic": self._topic, "partition": partition, "next": offset, "expected": expected}
            statement = _BEGIN if expected is None else _ADVANCE
            if self._connection.execute(statement, places).rowcount != 1:
                raise Unavailable("trace_store.moved", f"{self._topic}/{partition} is no longer at {expected}")

    def _change(self, portion: Portion) -> None:
        changes = portion.changes
        if not changes:
            return
        columns = [list(column) for column in zip(*changes, strict=True)]
        columns += ([getattr(change, name) for change in changes.values()] for name in _CHANGED)
        found = self._connection.execute(_CHANGE, columns).fetchone()
        moved = found[0] if found else 0
        expected = sum(change.status_code is not None for change in changes.values())
        if moved != expected:  # the trace may begin after the document; its statuses are among the events
            log.warning("trace_store.copies_unknown", copies=expected - moved)


def _copy_into(table: str, columns: tuple[str, ...]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
