"""What the connector remembers: packets sent and received, and what became of them. SQLite, one file.

Guarantees: what a method returned for is on the disk; a row is written before what it names leaves this machine, so
that the same packet sent again, after any crash, is the same statement. One process a book; its methods may be called
from several threads, one at a time.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from connectors.shared.book import open_book

Kind = Literal["edoc", "status"]
"""The axis' words for a document's packet and a status message."""

PREPARED, SENT, REFUSED = "prepared", "sent", "refused"
INITIAL, PROCESSING, DONE, FAIL = "INITIAL", "PROCESSING", "DONE", "FAIL"
TRANSPORT = (INITIAL, PROCESSING, DONE, FAIL)
"""How far a document system says it is with fetching a packet."""
UNDELIVERABLE = 0
"""In place of a status code: the exchange's word that a recipient can't be reached."""
_SCHEMA = """
CREATE TABLE sent (
    doc_id text PRIMARY KEY, kind text NOT NULL, thread text NOT NULL, lane text NOT NULL,
    document_id text NOT NULL, number text NOT NULL, recipients text NOT NULL, signed_ms integer NOT NULL,
    append_ms integer NOT NULL, state text NOT NULL, code text NOT NULL, created_ms integer NOT NULL,
    updated_ms integer NOT NULL
) STRICT;
CREATE INDEX sent_document ON sent (document_id);
CREATE TABLE received (
    doc_id text PRIMARY KEY, kind text NOT NULL, sender text NOT NULL, statement_id text NOT NULL, thread text NOT NULL,
    document_id text NOT NULL, number text NOT NULL, subject text NOT NULL, append_ms integer NOT NULL,
    transport text NOT NULL, created_ms integer NOT NULL, updated_ms integer NOT NULL
) STRICT;
CREATE INDEX received_document ON received (sender, document_id);
CREATE TABLE said (
    thread text NOT NULL, recipient text NOT NULL, code integer NOT NULL, reason text NOT NULL,
    updated_ms integer NOT NULL, PRIMARY KEY (thread, recipient)
) STRICT;
"""


class Sent(NamedTuple):
    """A packet of ours. `doc_id`: its statement's id too; `code`: why it was refused; `append_ms`: 0 until the broker
    has it."""

    doc_id: str
    kind: Kind
    thread: str
    lane: str
    document_id: str
    number: str
    recipients: list[str]
    signed_ms: int
    append_ms: int
    state: str
    code: str
    created_ms: int
    updated_ms: int


class Got(NamedTuple):
    """A packet for us. `document_id`, `number`: as the packet says, of what it is or is about."""

    doc_id: str
    kind: Kind
    sender: str
    statement_id: str
    thread: str
    document_id: str
    number: str
    subject: str
    append_ms: int
    transport: str
    created_ms: int
    updated_ms: int


class Said(NamedTuple):
    """The newest word of a recipient about a document of ours, or `UNDELIVERABLE`."""

    recipient: str
    code: int
    reason: str
    updated_ms: int


class Book:
    """The book in a file, made if missing."""

    def __init__(self, path: Path) -> None:
        self._sql = open_book(path, _SCHEMA)

    def close(self) -> None:
        """Let another process have it."""
        self._sql.close()

    def prepare(self, row: Sent) -> None:
        """Remember what is about to be sent, in place of a refused attempt at the same."""
        cells = [json.dumps(cell) if isinstance(cell, list) else cell for cell in row]
        self._sql.execute(f"INSERT OR REPLACE INTO sent VALUES ({_marks(cells)})", cells)  # noqa: S608

    def mark(self, doc_id: str, state: str, now_ms: int, *, code: str = "", append_ms: int = 0) -> None:
        """What became of it."""
        self._sql.execute(
            "UPDATE sent SET state = ?, code = ?, append_ms = max(append_ms, ?), updated_ms = ? WHERE doc_id = ?",
            (state, code, append_ms, now_ms, doc_id),
        )

    def sent(self, doc_id: str) -> Sent | None:
        """A packet of ours by its transport id."""
        return next(self._sent("doc_id = ?", [doc_id]), None)

    def prepared(self) -> list[Sent]:
        """What was to be sent, and may wait in the outbox."""
        return list(self._sent("state = ?", [PREPARED], most=-1))

    def sent_about(self, document_id: str, number: str) -> Sent | None:
        """The newest document of ours by what other packets call it: its DocumentId, else its number/notation."""
        for condition, value in (("document_id = ?", document_id), ("number = ?", number)):
            if value and (found := next(self._sent(f"kind = 'edoc' AND {condition}", [value]), None)):
                return found
        return None

    def sent_list(self, kind: Kind, since_ms: int, until_ms: int, most: int, skip: int) -> list[Sent]:
        """Packets of ours, newest first."""
        values = [kind, since_ms, until_ms]
        return list(self._sent("kind = ? AND created_ms >= ? AND created_ms < ?", values, most, skip))

    def receive(self, row: Got) -> None:
        """Remember a packet for us; again changes nothing."""
        self._sql.execute(f"INSERT OR IGNORE INTO received VALUES ({_marks(row)})", row)  # noqa: S608

    def received(self, doc_id: str) -> Got | None:
        """A packet for us by its transport id."""
        return next(self._received("doc_id = ?", [doc_id]), None)

    def received_about(self, sender: str, document_id: str, number: str) -> Got | None:
        """The newest document for us by sender and DocumentId, else number/notation."""
        for condition, value in (("document_id = ?", document_id), ("number = ?", number)):
            if value:
                values = [sender, value]
                if found := next(self._received(f"kind = 'edoc' AND sender = ? AND {condition}", values), None):
                    return found
        return None

    def received_list(self, kind: Kind, since_ms: int, until_ms: int, most: int, skip: int) -> list[Got]:
        """Packets for us, newest first."""
        values = [kind, since_ms, until_ms]
        return list(self._received("kind = ? AND created_ms >= ? AND created_ms < ?", values, most, skip))

    def confirm(self, doc_id: str, transport: str, now_ms: int) -> None:
        """How far the document system is with it."""
        self._sql.execute(
            "UPDATE received SET transport = ?, updated_ms = ? WHERE doc_id = ?", (transport, now_ms, doc_id)
        )

    def say(self, thread: str, said: Said) -> None:
        """A recipient's word about a document of ours."""
        self._sql.execute("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?, ?)", (thread, *said))

    def said(self, thread: str) -> list[Said]:
        """What each recipient said last."""
        rows = self._sql.execute(
            "SELECT recipient, code, reason, updated_ms FROM said WHERE thread = ? ORDER BY recipient", (thread,)
        )
        return [Said(*row) for row in rows]

    def _sent(self, condition: str, values: Sequence[object], most: int = 1, skip: int = 0) -> Iterator[Sent]:
        for row in self._rows("sent", condition, values, most, skip):
            found = Sent(*row)
            yield found._replace(recipients=json.loads(row[Sent._fields.index("recipients")]))

    def _received(self, condition: str, values: Sequence[object], most: int = 1, skip: int = 0) -> Iterator[Got]:
        for row in self._rows("received", condition, values, most, skip):
            yield Got(*row)

    def _rows(
        self, table: str, condition: str, values: Sequence[object], most: int, skip: int
    ) -> list[tuple[Any, ...]]:
        """Newest first. `table`, `condition`: of this module's own words only."""
        query = f"SELECT * FROM {table} WHERE {condition} ORDER BY created_ms DESC, rowid DESC LIMIT ? OFFSET ?"  # noqa: S608  # nosec B608
        return self._sql.execute(query, [*values, most, skip]).fetchall()


def _marks(cells: Sequence[object]) -> str:
    return ", ".join("?" * len(cells))
