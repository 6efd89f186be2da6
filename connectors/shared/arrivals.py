"""What arrives for an agency, each item in a folder of its own: its files, decrypted, and ``statement.json``.

Guarantees: a folder has its name only once all of it is right and on the disk; each item is placed once, however often
it comes again, also when whoever reads the folders has taken it away meanwhile. What can't be had for ever, such as an
attachment that is gone, is a dead letter and doesn't hold up the others.

| it dies … | on disk | so |
|---|---|---|
| while files are fetched | a draft | thrown away, fetched anew |
| after the draft got its name among the ready ones | the whole item, not in the book | placed |
| after the book has it | the whole item, ready or placed | placed if it is still ready, else it was |
| before the inbox goes on | the item, placed | comes again, and is known |

The book forgets an item after `REMEMBERED_MS`, longer than the exchange delivers anything again.
"""

from __future__ import annotations

import base64
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from connectors.shared.dead_letters import DeadLetters
from connectors.shared.figures import Figures
from connectors.shared.files import move, private, read_json, sync, to_json, write_json
from connectors.shared.following import is_the_worlds
from connectors.shared.pdf import found_in
from exchange.errors import Rejected
from exchange.sdk import Agency, Content, Fields, GatewayRefused, Published, Received, compose

STATEMENT, FILES = "statement.json", "files"
REMEMBERED_MS = 90 * 24 * 3_600_000
SCHEMA = "CREATE TABLE IF NOT EXISTS arrived (name text PRIMARY KEY, at_ms integer NOT NULL) STRICT"
ARRIVED, REFUSED, ACCEPTED = 1, 2, 3
ANSWERED = ("document", "report")
"""Kinds that a recipient says a status about."""
_DAYS = ("issued", "due")
_EPOCH = date(1970, 1, 1)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)


class Arrival(NamedTuple):
    """An item in its folder. `said`: what ``statement.json`` holds."""

    folder: Path
    said: dict[str, Any]


class Arrivals:
    """Places what arrives as folders in `into`. `work`: a private folder on the same file system."""

    def __init__(
        self, agency: Agency, work: Path, into: Path, book: Connection, dead_letters: DeadLetters, figures: Figures
    ) -> None:
        self._agency = agency
        self._figures = figures
        self._draft, self._ready, self._into = work / "draft", work / "ready", into
        private(work, self._ready)
        into.mkdir(parents=True, exist_ok=True)
        book.execute(SCHEMA)
        self._book = book
        self._dead_letters = dead_letters

    def take(self) -> Iterator[Arrival]:
        """Place what arrived since the last time, one after the other; the inbox goes on when the next is asked for.

        Again after a crash: an item whose folder was placed is handed out again, for what its caller does after that.
        Raises: Unavailable, GatewayRefused; OSError; InvariantBroken if a delivery doesn't verify.
        """
        self._book.execute("DELETE FROM arrived WHERE at_ms < ?", (_now_ms() - REMEMBERED_MS,))
        for received in self._agency.inbox():
            name = name_of(received)
            try:
                yield self._placed(name, received)
            except Rejected as exc:
                if isinstance(exc, GatewayRefused) and is_the_worlds(exc):
                    raise
                content = {"statement.avro": received.raw, STATEMENT: to_json(shown(received))}
                self._dead_letters.keep(self._emptied(), name, exc, content)
        self._figures.gaps.set(len(self._agency.gaps()))

    def _placed(self, name: str, received: Received) -> Arrival:
        """The item, placed now or before."""
        final, ready = self._into / name, self._ready / name
        is_known = self._book.execute("SELECT 1 FROM arrived WHERE name = ?", (name,)).fetchone() is not None
        if not ready.exists():
            if is_known:  # and perhaps taken away
                return read_arrival(final) if final.exists() else Arrival(final, shown(received))
            draft = self._emptied()
            paths = self._agency.save(received, draft / FILES)
            content = self._agency.content(received) if received.kind == "document" else None
            signed = [found_in(self._agency, path) for path in paths]
            write_json(draft / STATEMENT, shown(received) | opened(received, content, paths, signed))
            sync(draft / FILES)
            move(draft, ready)
        if not is_known:
            self._book.execute("INSERT INTO arrived VALUES (?, ?)", (name, _now_ms()))
        move(ready, final)
        return read_arrival(final)

    def _emptied(self) -> Path:
        shutil.rmtree(self._draft, ignore_errors=True)
        private(self._draft)
        return self._draft


def name_of(received: Received) -> str:
    """A folder's name: when it was submitted (UTC), by whom, what; the same whenever it comes again."""
    at = datetime.fromtimestamp(received.append_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    sender = _UNSAFE.sub("_", received.fields.get("sender", "EXCHANGE"))[:40]
    unique = uuid5(NAMESPACE_URL, f"{received.topic}/{received.partition}/{received.offset}/{received.kind}")
    return f"{at}-{sender}-{received.kind}-{unique.hex[:12]}"


def shown(received: Received) -> dict[str, Any]:
    """A delivery as JSON: days as dates, digests as hex, other bytes as base64; `statement`: the bytes as signed."""
    return {
        "kind": received.kind,
        "fields": _table(received.fields),
        "thread": received.thread,
        "topic": received.topic,
        "partition": received.partition,
        "offset": received.offset,
        "append_ms": received.append_ms,
        "inbox_ms": received.inbox_ms,
        "statement": base64.b64encode(received.raw).decode("ascii"),
    }


def opened(
    received: Received, content: Content | None, paths: Sequence[Path], signed: Sequence[list[dict[str, Any]] | None]
) -> dict[str, Any]:
    """What only a recipient reads, decrypted if it was encrypted: the text, and each file with its name in `FILES`.

    `signed`: of each file, the signatures inside it; None where nobody looked.
    """
    fields = received.fields
    listed = fields.get("attachments", []) if content is None else content.files
    return {
        "text": fields.get("content", "") if content is None else content.text,
        "files": [
            {**_table(one), "file": path.name, "pdf_signatures": found}
            for one, path, found in zip(listed, paths, signed, strict=True)
        ],
        "is_confidential": listed != fields.get("attachments", []),
    }


def read_arrival(folder: Path) -> Arrival:
    """An item placed before."""
    return Arrival(folder, read_json(folder / STATEMENT))


def say(agency: Agency, said: dict[str, Any], code: int, reason: str = "", about: Fields | None = None) -> Published:
    """Sign a status (01 arrived, 02 refused with a reason, 03 accepted …) about an item that arrived.

    `about`: the thread's first document instead (sender, id), where it is the answer to a recall or change (15, 16).
    A second one of the same code changes nothing. Raises: as `Agency.acknowledge`.
    """
    status = compose.status(
        agency.code, str(uuid4()), about or said["fields"], code, reason=reason, signed_ms=_now_ms(),
        document_append_ms=said["append_ms"], thread=said["thread"],
    )  # fmt: skip
    return agency.state("status", status)


def _table(fields: Fields) -> dict[str, Any]:
    return {name: _plain(name, value) for name, value in fields.items()}


def _plain(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return value.hex() if name == "sha256" else base64.b64encode(value).decode("ascii")
    if name in _DAYS and isinstance(value, int):
        return (_EPOCH + timedelta(days=value)).isoformat()
    if isinstance(value, dict):
        return _table(value)
    if isinstance(value, list):
        return [_plain(name, one) for one in value]
    return value


def _now_ms() -> int:
    return int(time.time() * 1000)
