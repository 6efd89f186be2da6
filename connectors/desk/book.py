"""What the desk remembers: the documents received with their places in the register, those sent, what was said.

Guarantees: a register's number stands once a year. A decision is written before it is signed, and marked after, so that
one that a crash cut off is signed at the next start.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from connectors.shared.book import transaction
from exchange.errors import Rejected

NEW, ACCEPTING, ACCEPTED, REFUSING, REFUSED = "new", "accepting", "accepted", "refusing", "refused"
AGREEING, AGREED, DECLINING, DECLINED = "agreeing", "agreed", "declining", "declined"
"""Of what asks for an answer: a recall, update or replacement."""
PREPARED, HANDED, SENT = "prepared", "handed", "sent"
"""Of a document of ours: to be signed; signed, in the outbox; with the exchange. Or `REFUSED`."""
UNDELIVERABLE = 0
"""In place of a status code: the exchange's word that a recipient can't be reached."""
SCHEMA = """
CREATE TABLE received (
    name text PRIMARY KEY, sender text NOT NULL, id text NOT NULL, number text NOT NULL, subject text NOT NULL,
    folded text NOT NULL, urgency integer NOT NULL, business text NOT NULL, append_ms integer NOT NULL,
    read_ms integer NOT NULL, state text NOT NULL, year integer, incoming integer, decided_ms integer NOT NULL,
    reason text NOT NULL
) STRICT;
CREATE INDEX received_state ON received (state, append_ms);
CREATE UNIQUE INDEX register ON received (year, incoming) WHERE incoming IS NOT NULL;
CREATE TABLE sent (
    id text PRIMARY KEY, fields text NOT NULL, subject text NOT NULL, number text NOT NULL, recipients text NOT NULL,
    files text NOT NULL, state text NOT NULL, code text NOT NULL, sent_ms integer NOT NULL
) STRICT;
CREATE INDEX sent_when ON sent (sent_ms);
CREATE TABLE said (
    id text NOT NULL, recipient text NOT NULL, code integer NOT NULL, reason text NOT NULL, at_ms integer NOT NULL,
    PRIMARY KEY (id, recipient)
) STRICT;
CREATE TABLE names (code text PRIMARY KEY, name text NOT NULL) STRICT;
"""
Row = sqlite3.Row


class Book:
    """The desk's rows."""

    def __init__(self, sql: sqlite3.Connection) -> None:
        self.sql = sql

    def receive(self, name: str, fields: dict[str, Any], append_ms: int, folded: str) -> None:
        """A document for us; again changes nothing."""
        number = f"{fields['code_number']}/{fields['code_notation']}"
        self.sql.execute(
            "INSERT OR IGNORE INTO received VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, NULL, NULL, 0, '')",
            (name, fields["sender"], fields["id"], number, fields["subject"], folded, fields["urgency"],
             fields["business"], append_ms, NEW),
        )  # fmt: skip

    def received(self, name: str) -> Row | None:
        """One document for us."""
        return self._one("SELECT * FROM received WHERE name = ?", name)

    def received_as(self, sender: str, statement_id: str) -> Row | None:
        """One document for us by who sent it under which id."""
        return self._one("SELECT * FROM received WHERE sender = ? AND id = ?", sender, statement_id)

    def inbox(self, *, only_new: bool, find: str, most: int, skip: int) -> list[Row]:
        """Documents for us, the newest first. `find`: a folded part of subject, number or sender."""
        pattern = f"%{find.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
        return self._all(
            "SELECT * FROM received WHERE (state = ? OR NOT ?) AND folded LIKE ? ESCAPE '!'"
            " ORDER BY append_ms DESC, name LIMIT ? OFFSET ?", NEW, only_new, pattern, most, skip
        )  # fmt: skip

    def unread(self) -> int:
        """How many documents nobody has looked at."""
        [[count]] = self.sql.execute("SELECT count(*) FROM received WHERE read_ms = 0")
        return int(count)

    def read(self, name: str, now_ms: int) -> None:
        """Somebody looks at it."""
        self.sql.execute("UPDATE received SET read_ms = ? WHERE name = ? AND read_ms = 0", (now_ms, name))

    def decide(self, name: str, state: str, now_ms: int, *, incoming: int | None, year: int, reason: str) -> None:
        """Write a decision that is to be signed. Rejected ``desk.number_taken``, ``desk.decided``."""
        try:
            with transaction(self.sql):
                done = self.sql.execute(
                    "UPDATE received SET state = ?, incoming = ?, year = ?, reason = ?, decided_ms = ?"
                    " WHERE name = ? AND state = ?",
                    (state, incoming, year if incoming is not None else None, reason, now_ms, name, NEW),
                )
                if done.rowcount != 1:
                    raise Rejected("desk.decided", name[:100])
        except sqlite3.IntegrityError as exc:
            raise Rejected("desk.number_taken", f"{incoming}/{year}") from exc

    def mark(self, name: str, state: str) -> None:
        """What became of a decision; `NEW` undoes it."""
        undo = ", incoming = NULL, year = NULL, reason = '', decided_ms = 0" if state == NEW else ""
        self.sql.execute(f"UPDATE received SET state = ?{undo} WHERE name = ?", (state, name))  # noqa: S608  # nosec B608

    def undecided(self) -> list[Row]:
        """Decisions written and perhaps not signed."""
        return self._all(
            "SELECT * FROM received WHERE state IN (?, ?, ?, ?) ORDER BY decided_ms", ACCEPTING, REFUSING, AGREEING,
            DECLINING,
        )  # fmt: skip

    def next_incoming(self, year: int) -> int:
        """The next number of a year's register."""
        [[most]] = self.sql.execute("SELECT max(incoming) FROM received WHERE year = ?", (year,))
        return int(most or 0) + 1

    def register(self, year: int) -> list[Row]:
        """A year's register, by number."""
        return self._all("SELECT * FROM received WHERE year = ? ORDER BY incoming", year)

    def years(self) -> list[int]:
        """Years with a register, the newest first."""
        rows = self._all("SELECT DISTINCT year FROM received WHERE year IS NOT NULL ORDER BY year DESC")
        return [row["year"] for row in rows]

    def prepare(self, fields: dict[str, Any], files: Sequence[str], now_ms: int) -> None:
        """A document that is about to be sent; again changes nothing."""
        number = f"{fields['code_number']}/{fields['code_notation']}"
        recipients = [*fields["to"], *fields["information"]]
        self.sql.execute(
            "INSERT OR IGNORE INTO sent VALUES (?, ?, ?, ?, ?, ?, ?, '', ?)",
            (fields["id"], json.dumps(fields), fields["subject"], number, json.dumps(recipients),
             json.dumps(list(files)), PREPARED, now_ms),
        )  # fmt: skip

    def mark_sent(self, statement_id: str, state: str, code: str = "") -> None:
        """What became of a document of ours."""
        self.sql.execute("UPDATE sent SET state = ?, code = ? WHERE id = ?", (state, code, statement_id))

    def forget(self, statement_id: str) -> None:
        """A document that a rule refused: nothing of it was kept."""
        self.sql.execute("DELETE FROM sent WHERE id = ?", (statement_id,))

    def sent(self, statement_id: str) -> Row | None:
        """One document of ours."""
        return self._one("SELECT * FROM sent WHERE id = ?", statement_id)

    def outbox(self, most: int, skip: int) -> list[Row]:
        """Documents of ours, the newest first."""
        return self._all("SELECT * FROM sent ORDER BY sent_ms DESC, id LIMIT ? OFFSET ?", most, skip)

    def in_state(self, state: str) -> list[Row]:
        """Documents of ours in a state, the oldest first."""
        return self._all("SELECT * FROM sent WHERE state = ? ORDER BY sent_ms", state)

    def say(self, statement_id: str, recipient: str, code: int, reason: str, at_ms: int) -> None:
        """A recipient's newest word about a document of ours."""
        self.sql.execute(
            "INSERT INTO said VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET code = excluded.code,"
            " reason = excluded.reason, at_ms = excluded.at_ms WHERE excluded.at_ms >= at_ms",
            (statement_id, recipient, code, reason, at_ms),
        )

    def said(self, statement_id: str) -> dict[str, Row]:
        """What each recipient said last."""
        return {row["recipient"]: row for row in self._all("SELECT * FROM said WHERE id = ?", statement_id)}

    def name(self, code: str) -> str | None:
        """An agency's name, if it was asked for before."""
        row = self._one("SELECT name FROM names WHERE code = ?", code)
        return None if row is None else str(row["name"])

    def learn(self, code: str, name: str) -> None:
        """An agency's name."""
        self.sql.execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (code, name))

    def _one(self, query: str, *values: object) -> Row | None:
        found: Row | None = self.sql.execute(query, values).fetchone()
        return found

    def _all(self, query: str, *values: object) -> list[Row]:
        return self.sql.execute(query, values).fetchall()
