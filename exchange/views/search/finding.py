"""Searching the trace store: newest first, page by page.

A page is found in one of two ways. *Walk*: go back in time over the newest `WALKED` submissions; what is common is
there. Only if that doesn't fill the page, *look up*: let the indexes over terms, receipts and recalls say all that
there is as far back as the page should be full, going by what the walk met, and sort it; and so on to the beginning.
So neither a common nor a rare search depends on what the database guesses of how often things occur together.

Guarantees: every page of a search is found as of one moment of the store, has at most `LIMIT_MAX` rows and costs at
most `TIMEOUT_MS`; a submission is on one page only, and none of those that match is left out, but a copy's state is
that of the moment at which its page was found.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from exchange.errors import Rejected
from exchange.views.search.cursors import Key, decode, encode
from exchange.views.search.query import FLOOR_MS, Query, Where, where
from exchange.views.trace_store import TraceStore

LIMIT, LIMIT_MAX = 20, 1_000
"""Results on a page: as a terminal shows, and at most."""
WALKED = 10_000
TIMEOUT_MS = 10_000
BEYOND = 2**40
RECIPIENTS_NAMED = 3

_SETTINGS = "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '32MB'"
_ORDER = "append_ms DESC, source_topic DESC, partition DESC, source_offset DESC"
_KEY = "append_ms, source_topic, partition, source_offset"
_AFTER = "(append_ms, source_topic, partition, source_offset) < (%(at_ms)s, %(topic)s, %(partition)s, %(offset)s)"

_WALK = """
SELECT {key} FROM (SELECT * FROM events WHERE {after} ORDER BY {order} LIMIT {walked}) AS e
WHERE {where} ORDER BY {order} LIMIT %(most)s
"""
_LOOK_UP = """
WITH found AS MATERIALIZED (SELECT {key} FROM events e WHERE {after} AND {where})
SELECT * FROM found ORDER BY {order} LIMIT %(most)s
"""
_WALKED = """
SELECT count(*), max(append_ms), min(append_ms), (SELECT min(append_ms) FROM events WHERE {after})
FROM (SELECT append_ms FROM events WHERE {after} ORDER BY {order} LIMIT {walked}) AS walked
"""
_ROWS = """
SELECT e.source_topic, e.partition, e.source_offset, e.append_ms, e.outcome, e.code AS rejection, e.kind, e.sender,
    e.verified, e.id, e.thread, d.business, d.code, d.type, d.subject, d.issued, d.urgency, d.due, d.sender_level,
    c.copies, c.acknowledged, c.undeliverable, c.recipients
FROM unnest(%s::text[], %s::int[], %s::bigint[]) WITH ORDINALITY AS k (topic, partition, source_offset, place)
JOIN events e ON e.source_topic = k.topic AND e.partition = k.partition AND e.source_offset = k.source_offset
LEFT JOIN documents d ON d.thread = e.thread AND d.sender = e.sender AND d.id = e.id
    AND d.source_topic = e.source_topic AND d.partition = e.partition AND d.source_offset = e.source_offset
LEFT JOIN LATERAL (
    SELECT count(*)::int AS copies, count(first_receipt_ms)::int AS acknowledged,
        (count(*) FILTER (WHERE inbox_partition < 0))::int AS undeliverable,
        (array_agg(recipient ORDER BY recipient))[:%s] AS recipients
    FROM deliveries c
    WHERE c.source_topic = e.source_topic AND c.partition = e.partition AND c.source_offset = e.source_offset
) AS c ON true
ORDER BY k.place
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One submission that was found. Times: the broker's, ms since 1970 UTC. `issued`, `due`: days since 1970.

    From `business` on: of an accepted document (`sender_level`: also of a report), else None. `recipients`: the first
    `RECIPIENTS_NAMED` of the `copies`. Text is a claim of anyone's unless `verified`.
    """

    source_topic: str
    partition: int
    source_offset: int
    append_ms: int
    outcome: str
    rejection: str
    kind: str
    sender: str
    verified: bool
    id: str
    thread: str
    business: str | None
    code: str | None
    type: str | None
    subject: str | None
    issued: int | None
    urgency: int | None
    due: int | None
    sender_level: int | None
    copies: int
    acknowledged: int
    undeliverable: int
    recipients: list[str] | None

    @property
    def key(self) -> Key:
        """What it is sorted by."""
        return Key(self.append_ms, self.source_topic, self.partition, self.source_offset)


@dataclass(frozen=True, slots=True)
class Page:
    """Some results, newest first. `cursor`: for the next page; None if there is none. `as_of_ms`: of the search."""

    results: list[Found]
    cursor: str | None
    as_of_ms: int


def search(
    store: TraceStore, query: Query, *, limit: int, cursor: str | None = None, as_of_ms: int | None = None
) -> Page:
    """Find one page. `cursor`: of the page before; `as_of_ms`: by default now, or the cursor's.

    Raises: Rejected ``cursor.invalid``, ``search.range``, ``search.too_broad`` (it took too long: ask for less);
        Unavailable.
    """
    with _reading(store) as connection:
        return _page(connection, query, limit, cursor, as_of_ms)


def pages(store: TraceStore, query: Query, *, size: int, as_of_ms: int) -> Iterator[Page]:
    """Find all pages, as of one moment of the store, one at a time. Raises: as `search`."""
    with _reading(store) as connection:
        cursor = None
        while True:
            page = _page(connection, query, size, cursor, as_of_ms)
            yield page
            cursor = page.cursor
            if cursor is None:
                return


def _page(connection: Connection[Any], query: Query, limit: int, cursor: str | None, as_of_ms: int | None) -> Page:
    if not 1 <= limit <= LIMIT_MAX:
        raise Rejected("search.range", f"limit: {limit} is not within 1 to {LIMIT_MAX}")
    last: Key | None = None
    if cursor is not None:
        as_of_ms, last = decode(query, cursor)
    elif as_of_ms is None:
        as_of_ms = time.time_ns() // 1_000_000
    keys = _keys(connection, where(query, as_of_ms), last, limit + 1)
    results = _rows(connection, keys[:limit])
    following = encode(query, as_of_ms, results[-1].key) if len(keys) > limit else None
    return Page(results, following, as_of_ms)


def _keys(connection: Connection[Any], asked: Where, last: Key | None, most: int) -> list[Key]:
    after, values = asked.span, {**asked.values, "most": most}
    if last is not None:
        after += f" AND {_AFTER}"
        values |= {"at_ms": last.append_ms, "topic": last.source_topic}
        values |= {"partition": last.partition, "offset": last.source_offset}

    def run(query: str, floor_ms: int = FLOOR_MS) -> list[tuple[Any, ...]]:
        text = query.format(key=_KEY, after=after, where=asked.sql, order=_ORDER, walked=WALKED)
        return connection.execute(text.encode(), {**values, "floor_ms": floor_ms}).fetchall()

    if "id" in values:  # an index finds it at once
        return [Key(*row) for row in run(_LOOK_UP)]
    found = run(_WALK)
    if len(found) == most:
        return [Key(*row) for row in found]
    count, newest_ms, oldest_ms, first_ms = run(_WALKED)[0]
    reach_ms = newest_ms - oldest_ms + 1 if count == WALKED else 0
    while reach_ms and len(found) < most:
        reach_ms *= _deeper(len(found), most)
        floor_ms = max(newest_ms - reach_ms, first_ms)
        found = run(_LOOK_UP, floor_ms)
        if floor_ms == first_ms:
            break
    return [Key(*row) for row in found]


def _deeper(found: int, most: int) -> int:
    """How many times as far back the next look goes, so that it finds twice what it should; if need be to the end."""
    return max(2, 2 * most // found) if found else BEYOND


def _rows(connection: Connection[Any], keys: list[Key]) -> list[Found]:
    places = [[key.source_topic for key in keys], [key.partition for key in keys], [key.source_offset for key in keys]]
    with connection.cursor(row_factory=class_row(Found)) as cursor:
        return cursor.execute(_ROWS, [*places, RECIPIENTS_NAMED]).fetchall()


@contextmanager
def _reading(store: TraceStore) -> Iterator[Connection[Any]]:
    """Read as of one moment, each statement for at most `TIMEOUT_MS`."""
    with store.snapshot() as connection:
        connection.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}; {_SETTINGS}")
        try:
            yield connection
        except psycopg.errors.QueryCanceled as exc:
            raise Rejected("search.too_broad", f"not found within {TIMEOUT_MS} ms") from exc
