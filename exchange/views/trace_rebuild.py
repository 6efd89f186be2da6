"""Rebuilding the trace store from the topics, and showing that two stores are equal row for row.

Guarantees: the new store is filled beside the old one and takes its place in one transaction; whoever reads sees
the one or the other. It is first read exactly as far as the old one, which then stands still, so that the two can
be compared; after the swap it is read to the end. A rebuild that dies leaves the old store as it was.
Needs the disk for both. A projection may run meanwhile: it waits for the comparison, then goes on in the new store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from exchange.backbone.clients import Config
from exchange.errors import Misconfigured, Unavailable
from exchange.pipeline.books import TRACE
from exchange.views import trace_schema
from exchange.views.trace_projection import Earlier, TraceProjection
from exchange.views.trace_store import TraceStore, offsets_in


@dataclass(frozen=True, slots=True)
class TableDigest:
    """All rows of a table: how many, and the SHA-256 (hexadecimal) of their text in the order of the key."""

    rows: int
    sha256: str


Fingerprint = dict[str, TableDigest]
"""A store's tables by name. Equal fingerprints: equal row for row, the source offsets included."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did. `events`: stored anew. `before`: None if there was no store of this layout."""

    events: int
    before: Fingerprint | None
    after: Fingerprint

    def differences(self) -> list[str]:
        """How the store was wrong before, one line a table; empty if it was right, or wasn't there."""
        return [] if self.before is None else differences(self.before, self.after)


def fingerprint(store: TraceStore) -> Fingerprint:
    """Hash the whole store at one moment; some seconds a million rows. Raises: Unavailable."""
    with store.snapshot() as connection:
        return _fingerprint(connection)


def differences(one: Fingerprint, other: Fingerprint) -> list[str]:
    """Say which tables differ, one line each."""
    return [
        f"{table}: {one[table].rows} rows ({one[table].sha256[:12]}), "
        f"{other[table].rows} rows ({other[table].sha256[:12]})"
        for table in trace_schema.TABLES
        if one[table] != other[table]
    ]


def compare(one: TraceStore, other: TraceStore) -> list[str]:
    """Compare two stores row for row, each at one moment; one line a table that differs."""
    return differences(fingerprint(one), fingerprint(other))


def rebuild(
    base: Config,
    database_url: str,
    *,
    topic: str = TRACE,
    schema: str = trace_schema.SCHEMA,
    earlier: Earlier | None = None,
) -> Rebuilt:
    """Fill a new store from the trace, compare it with the present one, put it in its place, catch up.

    `earlier`: what has left the topic.

    Raises: Unavailable (also ``trace_store.rebuilding``: somebody else is at it); Misconfigured,
        InvariantBroken. The present store then stays.
    """
    present, fresh = TraceStore(database_url, schema), TraceStore(database_url, f"{schema}_next")
    with _alone(present):
        with fresh.connect() as connection:
            trace_schema.drop(connection, fresh.schema)
        is_comparable = _has_layout(present)
        projection = TraceProjection(base, fresh, topic, earlier=earlier)
        stored = present.offsets(topic) if is_comparable else {}
        projection.catch_up(stored or None)
        before: Fingerprint | None = None
        with present.connect() as connection:
            if stored:
                # Whoever writes moves the offsets first, so from here on the present store stands still.
                connection.execute("LOCK TABLE offsets IN ACCESS EXCLUSIVE MODE")
                projection.catch_up(offsets_in(connection, topic))
                before = _fingerprint(connection)
            after = fingerprint(fresh)
            trace_schema.drop(connection, schema)
            trace_schema.rename(connection, fresh.schema, schema)
        last = TraceProjection(base, present, topic, earlier=earlier)
        last.catch_up()
    return Rebuilt(projection.events + last.events, before, after)


def _fingerprint(connection: Connection[Any]) -> Fingerprint:
    return {table: _digest(connection, table, order) for table, order in trace_schema.TABLES.items()}


def _digest(connection: Connection[Any], table: str, order: str) -> TableDigest:
    digest, rows = hashlib.sha256(), 0
    query = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, order.split(", ")))
    )
    with connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for row in copy:
                digest.update(row)
        rows = cursor.rowcount
    return TableDigest(rows, digest.hexdigest())


def _has_layout(store: TraceStore) -> bool:
    """Whether what is there, now if not before, is of our layout."""
    try:
        store.prepare()
    except Misconfigured:
        return False
    return True


@contextmanager
def _alone(store: TraceStore) -> Iterator[None]:
    """Keep every other rebuild of this store away; PostgreSQL lets go when we die."""
    with store.connect() as connection:
        name = f"rebuild {store.schema}"
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name]).fetchone()
        connection.commit()
        if row != (True,):
            raise Unavailable("trace_store.rebuilding", store.schema)
        yield
