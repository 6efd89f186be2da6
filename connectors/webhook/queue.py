"""What is to be posted, in order: rows of the connector's book.

Guarantees: of each document one item is posted at a time, the oldest first; an item that the receiver refused for good
holds what was said later about the same document, until somebody posts it again (`replay`) or lets it go (`skip`).

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from sqlite3 import Connection, Row

from connectors.shared.arrivals import ANSWERED, Arrival

WAITING, POSTED, DONE, DEAD, SKIPPED = "waiting", "posted", "done", "dead", "skipped"
"""To be posted; posted, to be acknowledged; dealt with; refused for good; let go."""
SCHEMA = """
CREATE TABLE queue (
    seq integer PRIMARY KEY AUTOINCREMENT, name text NOT NULL UNIQUE, thread text NOT NULL, kind text NOT NULL,
    sender text NOT NULL, id text NOT NULL, state text NOT NULL, attempts integer NOT NULL, next_ms integer NOT NULL,
    since_ms integer NOT NULL, updated_ms integer NOT NULL, acknowledged integer NOT NULL, code text NOT NULL
) STRICT;
CREATE INDEX queue_thread ON queue (thread, seq);
CREATE INDEX queue_open ON queue (seq) WHERE state IN ('waiting', 'posted', 'dead');
"""
_HEADS = """
SELECT * FROM queue AS one WHERE state IN ('waiting', 'posted') AND next_ms <= :now AND NOT EXISTS (
    SELECT 1 FROM queue AS before
    WHERE before.thread = one.thread AND before.seq < one.seq AND before.state IN ('waiting', 'posted', 'dead')
) ORDER BY seq LIMIT :most
"""


class Queue:
    """The rows in a book."""

    def __init__(self, book: Connection) -> None:
        self._book = book

    def add(self, arrival: Arrival, now_ms: int) -> bool:
        """Put an item in line; False if it was there already."""
        said = arrival.said
        fields = said["fields"]
        about = fields["statement"]["id"] if said["kind"] == "notice" else said["thread"]
        acknowledged = said["kind"] not in ANSWERED
        values = (
            arrival.folder.name, about, said["kind"], fields["sender"], fields["id"], WAITING, 0, now_ms, now_ms,
            now_ms, acknowledged, "",
        )  # fmt: skip
        done = self._book.execute(
            "INSERT OR IGNORE INTO queue (name, thread, kind, sender, id, state, attempts, next_ms, since_ms,"
            " updated_ms, acknowledged, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
        )  # fmt: skip
        return done.rowcount == 1

    def due(self, now_ms: int, most: int) -> list[Row]:
        """What may be posted or acknowledged now, each of another document, the oldest first."""
        found: list[Row] = self._book.execute(_HEADS, {"now": now_ms, "most": most}).fetchall()
        return found

    def mark(self, name: str, state: str, now_ms: int, *, code: str = "", acknowledged: bool = False) -> None:
        """What became of an item."""
        self._book.execute(
            "UPDATE queue SET state = ?, code = ?, updated_ms = ?, acknowledged = max(acknowledged, ?) WHERE name = ?",
            (state, code, now_ms, acknowledged, name),
        )

    def later(self, name: str, next_ms: int, code: str, now_ms: int) -> None:
        """It failed for now."""
        self._book.execute(
            "UPDATE queue SET attempts = attempts + 1, next_ms = ?, code = ?, updated_ms = ? WHERE name = ?",
            (next_ms, code, now_ms, name),
        )

    def again(self, name: str, now_ms: int) -> None:
        """Post it anew, from the beginning of its attempts."""
        self._book.execute(
            "UPDATE queue SET state = ?, attempts = 0, next_ms = ?, since_ms = ?, updated_ms = ?, code = ''"
            " WHERE name = ?",
            (WAITING, now_ms, now_ms, now_ms, name),
        )

    def one(self, text: str) -> Row | None:
        """An item by its name or its statement's id."""
        found: Row | None = self._book.execute(
            "SELECT * FROM queue WHERE ? IN (name, id) ORDER BY seq DESC LIMIT 1", (text,)
        ).fetchone()
        return found

    def listed(self, *states: str, since_ms: int = 0, most: int = 1000) -> list[Row]:
        """Items in these states, the oldest first."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM queue WHERE state IN ({marks}) AND since_ms >= ? ORDER BY seq LIMIT ?"  # noqa: S608  # nosec B608
        found: list[Row] = self._book.execute(query, (*states, since_ms, most)).fetchall()
        return found

    def counts(self) -> dict[str, int]:
        """How many items there are in each state."""
        return dict(self._book.execute("SELECT state, count(*) FROM queue GROUP BY state").fetchall())

    def forget(self, name: str) -> None:
        """Let go of a row."""
        self._book.execute("DELETE FROM queue WHERE name = ?", (name,))
