"""The whole way of one document, out of the trace store: where it is, and what was said about it.

Guarantees: one moment of the store; every event of the document's thread is in the path exactly once, in the order
in which the hop decided, unless `Path.is_complete` is False; a flood of rejected claims never hides what was
accepted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from exchange.errors import ExchangeError
from exchange.views.trace_path import Delivery, Document, Entry, Path, Step, Summary
from exchange.views.trace_store import TraceStore

EVENTS_MAX = 100_000
"""A path holds no more events than these: ten for each commune of a national document."""


class Ambiguous(ExchangeError):
    """Several senders, or threads of one sender, used the id: ask again, naming one of `candidates`."""

    def __init__(self, statement_id: str, candidates: list[tuple[str, str]]) -> None:
        named = ", ".join(f"{sender} in {thread}" for sender, thread in candidates)
        super().__init__("trace.ambiguous", f"{statement_id} is of {named}")
        self.candidates = candidates


_BY_ID = "SELECT * FROM events WHERE id = %(id)s AND (%(sender)s::text IS NULL OR sender = %(sender)s)"
_BY_THREAD = """
SELECT * FROM events WHERE id = %(id)s AND sender = %(sender)s
UNION SELECT * FROM events WHERE thread = %(thread)s AND (outcome <> 'accepted' OR document_id IS NOT NULL)
UNION SELECT e.* FROM documents JOIN events e USING (source_topic, partition, source_offset)
    WHERE documents.thread = %(thread)s
"""
_ROWS = """
SELECT e.*, d.business, d.code AS document_code, d.type, d.subject, d.issued, d.urgency, d.due, d.attachments,
    d.bytes, d.id IS NOT NULL AS is_document
FROM ({}) AS e LEFT JOIN documents d ON d.thread = e.thread AND d.sender = e.sender AND d.id = e.id
    AND d.source_topic = e.source_topic AND d.partition = e.partition AND d.source_offset = e.source_offset
ORDER BY e.outcome <> 'accepted', e.partition, e.trace_offset, e.trace_index LIMIT %(most)s
"""
_AT = "SELECT * FROM events WHERE source_topic = %(topic)s AND partition = %(place)s AND source_offset = %(offset)s"
_DELIVERIES = """
SELECT recipient, level, inbox_partition, redirected_from, state, first_receipt_ms, status_code, status_ms
FROM deliveries WHERE source_topic = %s AND partition = %s AND source_offset = %s ORDER BY recipient
"""

_LEVELS = """
SELECT m.sender_level, d.level, count(*), count(d.first_receipt_ms)
FROM deliveries d JOIN documents m USING (source_topic, partition, source_offset)
WHERE d.inbox_partition >= 0 GROUP BY 1, 2 ORDER BY 1, 2
"""
_UNDELIVERABLE = "SELECT count(*) FROM deliveries WHERE inbox_partition < 0 AND state IS NOT NULL"

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """The books of the store. Copies are those of documents and reports: statuses have none to acknowledge.

    `outcomes`, `rejections`, `accepted`: submissions by outcome, by code, by kind. `levels`: delivered copies by
    (sender's level, recipient's level).
    `delivered` = `acknowledged` + `waiting`; recipients of accepted statements = delivered + `undeliverable`.
    """

    outcomes: dict[str, int]
    rejections: dict[str, int]
    accepted: dict[str, int]
    levels: dict[tuple[int, int], int]
    acknowledged: int
    waiting: int
    undeliverable: int

    @property
    def delivered(self) -> int:
        """Copies that reached an inbox."""
        return self.acknowledged + self.waiting


def summary(store: TraceStore) -> Counts:
    """Count the whole store at one moment; about a second a million rows. Raises: Unavailable."""
    with store.snapshot() as connection:
        rows = connection.execute("SELECT outcome, code, kind, count(*) FROM events GROUP BY 1, 2, 3").fetchall()
        levels = connection.execute(_LEVELS).fetchall()
        undeliverable = connection.execute(_UNDELIVERABLE).fetchone()
    outcomes, rejections, accepted = Counter[str](), Counter[str](), Counter[str]()
    for outcome, code, kind, count in rows:
        outcomes[outcome] += count
        if outcome == "rejected":
            rejections[code] += count
        elif outcome == "accepted":
            accepted[kind] += count
    acknowledged = sum(row[3] for row in levels)
    return Counts(
        outcomes=dict(outcomes),
        rejections=dict(rejections),
        accepted=dict(accepted),
        levels={(sender, recipient): count for sender, recipient, count, _ in levels},
        acknowledged=acknowledged,
        waiting=sum(row[2] for row in levels) - acknowledged,
        undeliverable=undeliverable[0] if undeliverable else 0,
    )


def trace(store: TraceStore, statement_id: str, sender: str | None = None, thread: str | None = None) -> Path | None:
    """Find the way of a document or report by its id; by a status's id, of the document that it is about.

    `sender`, `thread`: needed only if several used the id. None: no submission ever bore the id.
    Raises: Ambiguous (ask again), Unavailable.
    """
    with store.snapshot() as connection:
        claims = _rows(connection, _BY_ID, id=statement_id, sender=sender)
        if not claims:
            return None
        target = _target(statement_id, claims, thread)
        if target is None:
            return _never_accepted(statement_id, claims)
        target_thread, target_sender, target_id = target
        rows = _rows(connection, _BY_THREAD, id=target_id, sender=target_sender, thread=target_thread)
        return _path(connection, target, rows)


def submission_at(store: TraceStore, topic: str, partition: int, offset: int) -> tuple[Entry, int | None] | None:
    """What became of the submission at this place, and when it is due, if it is a document that is (days since 1970).

    None: nothing was decided about it, or not yet. Raises: Unavailable.
    """
    with store.snapshot() as connection:
        rows = _rows(connection, _AT, topic=topic, place=partition, offset=offset)
    return (_entry(rows[0]), rows[0]["due"]) if rows else None


def _rows(connection: Connection[Any], query: str, **values: str | int | None) -> list[_Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_ROWS.format(query).encode(), {**values, "most": EVENTS_MAX + 1}).fetchall()


def _target(statement_id: str, claims: list[_Row], thread: str | None) -> tuple[str, str, str] | None:
    """The one document that the accepted claims of an id lead to: (thread, sender, id)."""
    found = {
        (row["thread"], row["sender"], row["id"])
        if row["is_document"]
        else (row["thread"], row["document_sender"], row["document_id"])
        for row in claims
        if row["outcome"] == "accepted" and thread in {None, row["thread"]}
    }
    if len(found) > 1:
        raise Ambiguous(statement_id, sorted((its_sender, its_thread) for its_thread, its_sender, _ in found))
    return next(iter(found), None)


def _path(connection: Connection[Any], target: tuple[str, str, str], rows: list[_Row]) -> Path:
    thread, sender, statement_id = target
    document: Document | None = None
    duplicates, rejections, others = list[Entry](), list[Entry](), list[Entry]()
    steps, related = list[Step](), list[Document]()
    for row in rows[:EVENTS_MAX]:
        is_own = (row["sender"], row["id"]) == (sender, statement_id)
        if row["outcome"] == "accepted" and row["thread"] == thread and row["is_document"]:
            found = _document(connection, row)
            if is_own:
                document = found
            else:
                related.append(found)
        elif is_own and row["outcome"] == "rejected":
            rejections.append(_entry(row))
        elif is_own and row["outcome"] == "duplicate" and row["thread"] == thread:
            duplicates.append(_entry(row))
        elif (row["document_sender"], row["document_id"]) == (sender, statement_id):
            steps.append(_step(row))
        else:
            others.append(_entry(row))
    return Path(
        id=statement_id,
        sender=sender,
        thread=thread,
        document=document,
        duplicates=tuple(duplicates),
        rejections=tuple(rejections),
        steps=tuple(steps),
        related=tuple(related),
        others=tuple(sorted(others, key=lambda entry: (entry.partition, entry.trace_offset, entry.trace_index))),
        is_complete=len(rows) <= EVENTS_MAX,
    )


def _never_accepted(statement_id: str, claims: list[_Row]) -> Path:
    senders, threads = {row["sender"] for row in claims}, {row["thread"] for row in claims}
    return Path(
        id=statement_id,
        sender=senders.pop() if len(senders) == 1 else None,
        thread=threads.pop() if len(threads) == 1 else None,
        document=None,
        duplicates=(),
        rejections=tuple(_entry(row) for row in claims[:EVENTS_MAX] if row["outcome"] == "rejected"),
        steps=(),
        related=(),
        others=tuple(_entry(row) for row in claims[:EVENTS_MAX] if row["outcome"] != "rejected"),
        is_complete=len(claims) <= EVENTS_MAX,
    )


def _entry(row: _Row) -> Entry:
    digests = {name: None if row[name] is None else row[name].hex() for name in ("sha256", "certificate")}
    return Entry(**{field.name: row[field.name] for field in fields(Entry)} | digests)


def _step(row: _Row) -> Step:
    names = ("document_sender", "document_id", "recipient", "status_code", "moved", "state", "reason")
    return Step(_entry(row), **{name: row[name] for name in names})


def _document(connection: Connection[Any], row: _Row) -> Document:
    summary = None
    if row["business"] is not None:
        values = {field.name: row[field.name] for field in fields(Summary)}
        summary = Summary(**values | {"code": row["document_code"]})
    place = [row["source_topic"], row["partition"], row["source_offset"]]
    deliveries = connection.execute(_DELIVERIES, place).fetchall()
    return Document(_entry(row), summary, tuple(Delivery(*delivery) for delivery in deliveries))
