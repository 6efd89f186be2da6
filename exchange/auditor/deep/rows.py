"""The trace store against the trace: every row derived again from the events and compared, row by row.

Guarantees: shares no code with the projection. The store is read at one moment; the trace is followed exactly as far
as the store says that it is, so a store that lags behind isn't blamed for it. A row that is missing, surplus or altered
is named by its table and key. Memory: the copies of one partition number (about 200 bytes each), for what becomes of a
copy is only known in the end.

Doesn't compare what PostgreSQL or a search makes of other columns (``terms``, ``delay_ms``).

Source: ``trace_schema.sql`` version 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg import Connection, sql

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Cut, Source
from exchange.auditor.deep.chain import CHANGE, TAKE_BACK, TAKEN_BACK, UNDELIVERABLE, WAITING
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import DIRECTORY, TRACE
from exchange.auditor.share import Share
from exchange.errors import Rejected
from exchange.statements import SUBMISSION_TOPICS, Fields, identify

EVENTS = (
    "source_offset", "trace_offset", "trace_index", "directory_offset", "hop_ms", "worker", "append_ms", "outcome",
    "code", "kind", "sender", "verified", "id", "thread", "sha256", "certificate", "accepted_offset",
    "document_sender", "document_id", "recipient", "status_code", "moved", "state", "reason",
)  # fmt: skip
DOCUMENTS = (
    "source_offset", "kind", "thread", "sender", "sender_level", "id", "sha256", "append_ms", "business", "code",
    "type", "subject", "issued", "urgency", "due", "attachments", "bytes",
)  # fmt: skip
DELIVERIES = (
    "source_offset", "recipient", "level", "inbox_partition", "redirected_from", "state", "first_receipt_ms",
    "status_code", "status_ms", "delivered_ms", "recalled_ms",
)  # fmt: skip

TABLES = {"events": EVENTS, "documents": DOCUMENTS, "deliveries": DELIVERIES}
"""The tables and the columns compared: all but the source's topic and partition, by which they are read."""

_SOURCES = (*SUBMISSION_TOPICS, DIRECTORY)
"""What an event may be about: a submission, or a decision of the directory."""

_TEXTS = {"events": {"reason"}, "documents": {"code", "type", "subject"}}
"""What somebody wrote: blank of what was erased, in the store or in the archived trace, whichever was first."""

_FETCH = 2_000
_ASKS = 13

_of_event = itemgetter(*EVENTS[6:17])
_of_step = itemgetter("document_sender", "document_id", "recipient", "code", "moved", "state", "reason")
_of_document = itemgetter(*DOCUMENTS[1:8])
_of_summary = itemgetter(*DOCUMENTS[8:])
_of_copy = itemgetter("recipient", "level", "partition", "redirected_from")

Row = tuple[Any, ...]


class RowCounts(NamedTuple):
    """Rows compared; trace records that the store hasn't taken yet."""

    compared: int
    waiting: int


class RowAudit:
    """Audits one trace store. `connection`: its tables in the search path, in a transaction that sees one moment."""

    def __init__(
        self,
        connection: Connection[Any],
        source: Source,
        cut: Cut,
        findings: Findings,
        topic: str = TRACE,
        share: Share = Share(),  # noqa: B008  a value
    ) -> None:
        self._connection = connection
        self._source = source
        self._cut = cut
        self._partitions = cut.partitions
        self._findings = findings
        self._topic = topic
        self._share = share
        self._compared = 0
        self._waiting = 0

    def run(self) -> RowCounts:
        """Compare everything. Raises: what `source` raises; psycopg's errors are the caller's to translate."""
        next_offsets = self._next_offsets()
        for number in filter(self._share.takes, range(self._partitions)):
            self._partition(number, next_offsets.get(number, 0))
        if self._share.is_first:
            self._strangers()
        return RowCounts(self._compared, self._waiting)

    def _next_offsets(self) -> dict[int, int]:
        rows = self._connection.execute("SELECT topic, partition, next_offset FROM offsets").fetchall()
        found = {}
        for topic, partition, next_offset in rows:
            if topic == self._topic and 0 <= partition < self._partitions:
                found[partition] = next_offset
            elif self._share.is_first:
                self._findings.add("audit.surplus_row", _named("offsets", partition, next_offset), f"of {topic}")
        return found

    def _partition(self, number: int, end: int) -> None:
        """Compare what came of one partition of the trace."""
        stored = {
            (table, topic): _Stored(self._read(table, topic, number))
            for table in ("events", "documents")
            for topic in _SOURCES
        }
        copies = _Copies()
        reached = first = self._source.first(self._topic, number)
        floor = dict.fromkeys(_SOURCES, 1 << 62) if first else dict.fromkeys(_SOURCES, 0)
        for read in self._source.read(self._topic, number):
            if read.offset >= end:
                self._waiting += 1
                continue
            reached = read.offset + 1
            try:
                record = identify(read.value).decode(read.value)
            except Rejected:
                continue  # the books name it
            if first and record["events"]:
                self._begin(stored, floor, record["topic"], record["events"][0]["offset"])
            for index, event in enumerate(record["events"]):
                topic, offset = record["topic"], event["offset"]
                at = Coordinates(topic, number, offset)
                if topic not in _SOURCES:
                    continue
                row = _event_row(record, event, read.offset, index)
                self._match("events", stored["events", topic], at, row, event["id"])
                if event["outcome"] != "accepted":
                    continue
                if event["status"] is None:
                    self._match("documents", stored["documents", topic], at, _document_row(event), event["id"])
                copies.add(topic, event)
        if reached != end:
            sentence = f"it says that {self._topic}/{number} was taken up to {end}, where {reached} is the end"
            self._findings.add("audit.altered_row", _named("offsets", number, end), sentence)
        for (table, topic), rows in stored.items():
            rows.skip_to(floor[topic])
            self._surplus(table, number, rows)
        self._deliveries(number, copies, floor)

    def _begin(self, stored: dict[tuple[str, str], _Stored], floor: dict[str, int], topic: str, offset: int) -> None:
        """What lies before the first event that is kept of a source has left the trace: pass its rows over."""
        if topic in floor and floor[topic] > offset:
            floor[topic] = offset
            for table in ("events", "documents"):
                stored[table, topic].skip_to(offset)

    def _deliveries(self, number: int, copies: _Copies, floor: dict[str, int]) -> None:
        """The copies as they are in the end, in the order of the key."""
        for topic in SUBMISSION_TOPICS:
            stored = _Stored(self._read("deliveries", topic, number))
            stored.skip_to(floor[topic])
            expected = copies.of(topic)
            for (offset, _), row in sorted(expected.items()):
                self._match("deliveries", stored, Coordinates(topic, number, offset), tuple(row), "")
            self._surplus("deliveries", number, stored)

    def _match(self, table: str, stored: _Stored, at: Coordinates, row: Row, statement_id: str) -> None:
        """Compare the next row with the one expected; both come in the order of their key."""
        self._compared += 1
        if stored.head == row:
            stored.advance()
            return
        width = 2 if table == "deliveries" else 1
        key, name = row[:width], f"{table}.{at.topic}"
        while (head := stored.head) is not None and head[:width] < key:
            self._findings.add("audit.surplus_row", _named(name, at.partition, head[0]), str(head[1]))
            stored.advance()
        place = _named(name, at.partition, at.offset)
        if head is None or head[:width] != key:
            self._findings.add("audit.missing_row", place, f"{table}: {_shown(row, width)}", statement_id)
            return
        stored.advance()
        texts = _TEXTS.get(table, ()) if self._cut.is_erased(*at) else ()
        wrong = [
            f"{name} {found!r}, not {meant!r}"
            for name, found, meant in zip(TABLES[table], head, row, strict=True)
            if found != meant and name not in texts
        ]
        if wrong:
            self._findings.add("audit.altered_row", place, f"{table}: {'; '.join(wrong)}"[:500], statement_id)

    def _surplus(self, table: str, number: int, stored: _Stored) -> None:
        while (head := stored.head) is not None:
            self._findings.add("audit.surplus_row", _named(f"{table}.{stored.topic}", number, head[0]), str(head[1]))
            stored.advance()

    def _read(self, table: str, topic: str, number: int) -> tuple[str, Iterator[Row]]:
        """The rows of one source partition, in the order of their key."""
        order = "source_offset, recipient" if table == "deliveries" else "source_offset"
        query = sql.SQL(
            "SELECT {} FROM {} WHERE source_topic = %s AND partition = %s ORDER BY {}"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, TABLES[table])),
            sql.Identifier(table),
            sql.SQL(order),
        )  # fmt: skip
        return topic, self._stream(f"audit_{table}_{topic}_{number}", query, [topic, number])

    def _stream(self, name: str, query: sql.Composed, values: list[Any]) -> Iterator[Row]:
        with self._connection.cursor(name, binary=True) as cursor:
            cursor.itersize = _FETCH
            cursor.execute(query, values)
            yield from cursor

    def _strangers(self) -> None:
        """Rows of source partitions that there aren't."""
        for table in TABLES:
            query = sql.SQL(
                "SELECT source_topic, partition, source_offset FROM {} "
                "WHERE source_topic <> ALL(%s) OR partition NOT BETWEEN 0 AND %s LIMIT 1000"
            ).format(sql.Identifier(table))
            for topic, partition, offset in self._connection.execute(
                query, [list(_SOURCES if table == "events" else SUBMISSION_TOPICS), self._partitions - 1]
            ).fetchall():
                self._findings.add("audit.surplus_row", _named(f"{table}.{topic}", partition, offset), "no such source")


class _Stored:
    """Rows as they come. `head`: the next one."""

    def __init__(self, read: tuple[str, Iterator[Row]]) -> None:
        self.topic, self._rows = read
        self.head = self._next()

    def advance(self) -> None:
        self.head = self._next()

    def skip_to(self, offset: int) -> None:
        """Pass over the rows of earlier source offsets."""
        while self.head is not None and self.head[0] < offset:
            self.advance()

    def _next(self) -> Row | None:
        return next(self._rows, None)


class _Copies:
    """The copies of one partition number, as its events leave them. Rows as in `DELIVERIES`."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[tuple[int, str], list[Any]]] = {topic: {} for topic in SUBMISSION_TOPICS}
        self._places: dict[tuple[str, str, str], tuple[str, int]] = {}

    def of(self, topic: str) -> dict[tuple[int, str], list[Any]]:
        """The copies of one source topic, by offset and recipient."""
        return self._rows[topic]

    def add(self, topic: str, event: Fields) -> None:
        """What an accepted statement does: makes copies, and moves earlier ones."""
        step, summary, offset = event["status"], event["summary"], event["offset"]
        if step is None:
            self._places.setdefault((event["thread"], event["sender"], event["id"]), (topic, offset))
        for copy in event["deliveries"]:
            recipient, level, partition, redirected = _of_copy(copy)
            state = None if step is not None else WAITING if partition >= 0 else UNDELIVERABLE
            delivered_ms = event["append_ms"] if state == WAITING else None
            row = [offset, recipient, level, partition, redirected, state, None, None, None, delivered_ms, None]
            self._rows[topic][offset, recipient] = row
        if step is not None:
            self._said(event, step)
        elif summary is not None and summary["business"] != "new":
            owner, _, first = event["thread"].partition("/")
            request = TAKE_BACK if summary["business"] == "recall" else CHANGE
            for copy in event["deliveries"]:
                row_ = self._row(event["thread"], owner, first, copy["recipient"])
                if row_ is not None and request == TAKE_BACK and row_[10] is None:
                    row_[10] = event["append_ms"]
                if row_ is not None and not (row_[5] & (TAKE_BACK | CHANGE) or row_[5] & 0x0F in _OVER):
                    row_[5] |= request

    def _said(self, event: Fields, step: Fields) -> None:
        row = self._row(event["thread"], step["document_sender"], step["document_id"], step["recipient"])
        if row is None:
            return
        place = 10 if step["code"] == _ASKS else 6
        if row[place] is None:
            row[place] = event["append_ms"]
        row[5], row[7], row[8] = step["state"], step["code"], event["append_ms"]

    def _row(self, thread: str, sender: str, statement_id: str, recipient: str) -> list[Any] | None:
        place = self._places.get((thread, sender, statement_id))
        return None if place is None else self._rows[place[0]].get((place[1], recipient))


_OVER = {2, TAKEN_BACK, UNDELIVERABLE}


def _event_row(record: Fields, event: Fields, trace_offset: int, index: int) -> Row:
    step = event["status"]
    return (
        event["offset"], trace_offset, index, record["directory_offset"], record["hop_ms"], record["worker"],
        *_of_event(event), *((None,) * 7 if step is None else _of_step(step)),
    )  # fmt: skip


def _document_row(event: Fields) -> Row:
    summary = event["summary"]
    return (event["offset"], *_of_document(event), *((None,) * 9 if summary is None else _of_summary(summary)))


def _named(table: str, partition: int, offset: int) -> Coordinates:
    return Coordinates(table, partition, offset)


def _shown(row: Row, width: int) -> str:
    return "/".join(map(str, row[:width]))
