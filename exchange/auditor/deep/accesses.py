"""The audit of the audit: the topic `audit.accesses` by itself, and the rows that answer who looked at a document.

Guarantees: a record that is missing between two others, can't be read, is keyed by another look, names what is no
submission, or is there twice, is named. The rows, read at one moment, are compared with their records up to where they
say that they were taken; so a record that was altered or moved after somebody asked who looked is found too. Before
that nothing tells, for nobody else knows who looked; nor would one be missed at the end.

Not compared: the order of two looks that no rows hold yet, and the askers' clocks. Memory: about 100 bytes a record.

Source: docs of ``schemas/access``; ``access_schema.sql`` version 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, LiteralString, NamedTuple

from psycopg import Connection

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Cut, Source
from exchange.auditor.findings import Findings
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.statements import SUBMISSION_TOPICS, Fields, identify

ACCESSES = "audit.accesses"
TABLE = "accesses"
"""How findings name the rows."""

_THERE = "SELECT to_regclass('accesses_v1.accesses') IS NOT NULL"
_POSITION = "SELECT coalesce(max(next_offset), 0) FROM accesses_v1.position WHERE topic = %s"
_ROWS = "SELECT record_offset, access, append_ms, action, by, reason, asked FROM accesses_v1.accesses ORDER BY 1"
_SHOWN = "SELECT record_offset, source_topic, partition, source_offset FROM accesses_v1.shown ORDER BY 1, 2, 3, 4"

Row = tuple[Any, ...]
Place = tuple[str, int, int]


class AccessCounts(NamedTuple):
    """Records compared; rows of both tables compared."""

    accesses: int
    access_rows: int


class AccessAudit:
    """Audits the looks; `run` it once. `connection`: in a transaction that sees one moment; None: there are no rows."""

    def __init__(self, connection: Connection[Any] | None, source: Source, cut: Cut, findings: Findings) -> None:
        self._connection = connection
        self._source = source
        self._cut = cut
        self._findings = findings
        self._seen: dict[bytes, int] = {}

    def run(self) -> AccessCounts:
        """Compare everything. Raises: what `source` raises; psycopg's errors are the caller's to translate."""
        rows = _Rows(self._connection, self._findings)
        count = joined = 0
        for read in self._source.read(ACCESSES, 0):
            at = Coordinates(ACCESSES, 0, read.offset)
            if read.offset > joined:
                missing = Coordinates(ACCESSES, 0, joined)
                self._findings.add("audit.missing_access", missing, f"nothing is kept at {joined} to {read.offset - 1}")
            joined = read.offset + 1
            fields = self._read(at, read)
            if fields is not None:
                count += 1
                rows.compare(at, read, fields)
        rows.finish()
        return AccessCounts(count, rows.compared)

    def _read(self, at: Coordinates, read: Read) -> Fields | None:
        try:
            found = identify(read.value)
            if found.name != "access":
                raise Rejected("record.wrong_schema", found.name)
            fields = found.decode(read.value)
        except Rejected as exc:
            self._findings.add("audit.altered_access", at, str(exc))
            return None
        if read.key != fields["access"]:
            self._findings.add("audit.altered_access", at, "its key isn't the look's")
        digest = sha256(read.value).digest()[:8]
        if digest in self._seen:
            self._findings.add("audit.repeated_access", at, f"as at {self._seen[digest]}")
        self._seen.setdefault(digest, read.offset)
        for topic, partition, offset in places_in(fields):
            if topic not in SUBMISSION_TOPICS or not 0 <= partition < self._cut.partitions or offset < 0:
                self._findings.add("audit.altered_access", at, f"it shows {topic[:80]}/{partition}@{offset}")
                break
        return fields


class _Rows:
    """The rows of both tables as they come, beside the records. `compared`: how many."""

    def __init__(self, connection: Connection[Any] | None, findings: Findings) -> None:
        self._findings = findings
        self.compared = 0
        self._until = 0
        self._accesses: Iterator[Row] = iter(())
        self._shown: Iterator[Row] = iter(())
        if connection is not None and _one(connection, _THERE):
            self._until = _one(connection, _POSITION, ACCESSES)
            self._accesses = _stream(connection, "audit_accesses", _ROWS)
            self._shown = _stream(connection, "audit_shown", _SHOWN)
        self._access = next(self._accesses, None)
        self._place = next(self._shown, None)

    def compare(self, at: Coordinates, read: Read, fields: Fields) -> None:
        """Compare the rows of one record, if they were taken."""
        if read.offset >= self._until:
            return
        self._surplus(read.offset)
        said = (fields["access"], read.append_ms, fields["action"], fields["by"], fields["reason"], fields["asked"])
        place = Coordinates(TABLE, 0, read.offset)
        self.compared += 1
        if self._access is None or self._access[0] != read.offset:
            self._findings.add("audit.missing_row", place, f"of {at.topic}@{at.offset}")
        else:
            if (bytes(self._access[1]), *self._access[2:]) != said:
                self._findings.add("audit.altered_row", place, f"it isn't as in {at.topic}@{at.offset}")
            self._access = next(self._accesses, None)
        shown = list[Place]()
        while self._place is not None and self._place[0] == read.offset:
            shown.append((self._place[1], self._place[2], self._place[3]))
            self._place = next(self._shown, None)
        self.compared += len(shown)
        if shown != sorted(set(places_in(fields))):
            self._findings.add("audit.altered_row", place, f"what it shows isn't as in {at.topic}@{at.offset}")

    def finish(self) -> None:
        """Name the rows of records that aren't there."""
        self._surplus(1 << 62)

    def _surplus(self, until: int) -> None:
        named = set[int]()
        while self._access is not None and self._access[0] < until:
            named.add(self._access[0])
            self._access = next(self._accesses, None)
        while self._place is not None and self._place[0] < until:
            named.add(self._place[0])
            self._place = next(self._shown, None)
        for offset in sorted(named):
            self._findings.add("audit.surplus_row", Coordinates(TABLE, 0, offset), "of a look that isn't recorded")


def places_in(fields: Fields) -> Iterator[Place]:
    """What a look showed."""
    for group in fields["shown"]:
        for offset in group["offsets"]:
            yield group["topic"], group["partition"], offset


def _one(connection: Connection[Any], query: LiteralString, *values: object) -> Any:  # noqa: ANN401
    row = connection.execute(query, values).fetchone()
    return row[0] if row is not None else 0


def _stream(connection: Connection[Any], name: str, query: LiteralString) -> Iterator[Row]:
    with connection.cursor(name) as cursor:
        cursor.execute(query)
        yield from cursor
