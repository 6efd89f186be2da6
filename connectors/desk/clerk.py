"""The clerk's work: take in what arrives, enter it in the register or refuse it, send, see who hasn't answered.

Guarantees: a document is in the desk's inbox with all its files before 01 is signed. A decision is signed once, over
crashes; a document of ours is sent once, with the files that were given. Whoever sent two times by mistake (the same
form) sent once.

Its methods may be called from several threads; those that speak to the exchange take turns.
"""

from __future__ import annotations

import contextlib
import json
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from hashlib import file_digest
from pathlib import Path
from typing import Any

from connectors.desk import book as rows
from connectors.desk.book import Book
from connectors.desk.limits import Limits
from connectors.shared.arrivals import ACCEPTED, ARRIVED, FILES, REFUSED, Arrivals, read_arrival, say
from connectors.shared.book import open_book
from connectors.shared.dead_letters import DeadLetters
from connectors.shared.figures import Figures
from connectors.shared.files import private
from connectors.shared.following import is_the_worlds
from connectors.shared.pdf import require_unbroken
from exchange.errors import Rejected, Unavailable
from exchange.sdk import Agency, Fields, GatewayRefused, compose, parse_code

VIETNAM = timezone(timedelta(hours=7))
CANDIDATES = 5
INCOMING_MAX = 9_999_999
AGREED, DECLINED = 15, 16


@dataclass(frozen=True, slots=True)
class Letter:
    """What the clerk wants to send. `recipients`: as typed, each a code or a name."""

    id: str
    recipients: list[str]
    subject: str
    number: str = ""
    notation: str = ""
    type: str = "CV"
    content: str = ""
    urgency: int = 0
    due: date | None = None
    signer: tuple[str, str] = ("", "")


class Clerk:
    """An agency's desk. `folder`: of its documents, book and dead letters."""

    def __init__(self, agency: Agency, folder: Path, figures: Figures, limits: Limits | None = None) -> None:
        self.agency = agency
        self.limits = limits or Limits()
        self.items, self.outgoing, self.uploads = folder / "items", folder / "sent", folder / "uploads"
        private(folder, self.items, self.outgoing, self.uploads)
        self._sql = open_book(folder / "book.sqlite", rows.SCHEMA)
        self.book = Book(self._sql)
        self.figures = figures
        dead_letters = DeadLetters(folder / "dead-letters", figures)
        self._arrivals = Arrivals(agency, folder / "work", self.items, self._sql, dead_letters, figures)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Leave the book; the agency is the caller's."""
        self._sql.close()

    def turn(self) -> bool:
        """Send what waits and take in what arrived.

        Raises: Unavailable, GatewayRefused, OSError: the next turn goes on; InvariantBroken.
        """
        with self._lock:
            if self.agency.flush() == 0:
                self._went_out()
            for row in self.book.undecided():
                self._sign(row)
            for row in self.book.in_state(rows.PREPARED):
                self._push(row)
            for arrival in self._arrivals.take():
                self._took(arrival.folder.name, arrival.said)
            self.figures.waiting.set(self.book.unread())
        return False

    def accept(self, name: str, incoming: int) -> None:
        """Enter a document in this year's register and tell the sender (03).

        Raises: Rejected ``desk.number``, ``desk.number_taken``, ``desk.decided``, ``desk.unknown``.
        """
        if not 1 <= incoming <= INCOMING_MAX:
            raise Rejected("desk.number", str(incoming))
        self._decide(name, rows.ACCEPTING, incoming, "")

    def refuse(self, name: str, reason: str) -> None:
        """Refuse a document and tell the sender why (02). Raises: Rejected, as `accept`; ``desk.reason``."""
        reason = " ".join(reason.split())
        if not reason:
            raise Rejected("desk.reason", "a refusal needs a reason")
        self._decide(name, rows.REFUSING, None, reason)

    def answer(self, name: str, agree: bool, reason: str = "") -> None:
        """Answer a recall, update or replacement: agreed (15), or declined with a reason (16).

        Raises: Rejected, as `refuse`; ``desk.no_request``: it asks for nothing.
        """
        reason = " ".join(reason.split())
        if not agree and not reason:
            raise Rejected("desk.reason", "declining needs a reason")
        row = self.book.received(name)
        if row is not None and row["business"] == "new":
            raise Rejected("desk.no_request", name[:100])
        self._decide(name, rows.AGREEING if agree else rows.DECLINING, None, "" if agree else reason)

    def send(self, letter: Letter, files: Sequence[tuple[str, Path]]) -> None:
        """Sign and send a document; `files`: names and uploads, which are moved. The same letter again changes nothing.

        Returns once the exchange has it, or once it waits, signed, on this disk. Raises: Rejected, and nothing is kept.
        """
        with self._lock:
            if self.book.sent(letter.id) is not None:
                return
            fields = self._composed(letter)
            require_unbroken(files)
            place = self.outgoing / fields["id"]
            private(place)
            for number, (_, path) in enumerate(files):
                path.rename(place / str(number))
            self.book.prepare(fields, [name for name, _ in files], fields["signed_ms"])
            row = self.book.sent(letter.id)
            if row is not None:
                self._push(row, first=True)

    def resolve(self, texts: Sequence[str]) -> list[str]:
        """Codes of what a clerk typed: a code, a code with words behind it, or a name that only one agency has.

        While the exchange is away a code is taken as it is; whether there is such an agency, the exchange says later.
        Raises: Unavailable for a name then; Rejected ``desk.recipient_unknown``, ``desk.recipient_ambiguous`` (names
            some), ``desk.recipient_closed``, ``desk.recipients``.
        """
        typed = [text.strip() for text in texts if text.strip()]
        if not typed or len(typed) > self.limits.recipients:
            raise Rejected("desk.recipients", str(len(typed)))
        return list(dict.fromkeys(self._resolved(text) for text in typed))

    def find(self, text: str) -> list[dict[str, Any]]:
        """Agencies by a part of their code or name; none while the exchange is away."""
        with self._lock, contextlib.suppress(Unavailable):
            found = self.agency.find(text[:100])[:CANDIDATES]
            for one in found:
                self.book.learn(one["code"], one["name"])
            return found
        return []

    def name(self, code: str) -> str:
        """An agency's name as far as it is known."""
        return self.book.name(code) or code

    def shown(self, name: str) -> dict[str, Any]:
        """A document for us with all that was signed. Rejected ``desk.unknown``."""
        if self.book.received(name) is None:
            raise Rejected("desk.unknown", name[:100])
        return read_arrival(self.items / name).said

    def file(self, name: str, number: int) -> tuple[str, Path]:
        """An attachment's name and file, whose bytes were compared now with what the sender signed.

        Raises: Rejected ``desk.unknown``; ``attachment.differs``: it was changed on this disk.
        """
        listed = self.shown(name)["files"]
        if not 0 <= number < len(listed):
            raise Rejected("desk.unknown", f"{name[:100]} {number}")
        one = listed[number]
        path = self.items / name / FILES / one["file"]
        with path.open("rb") as stream:
            if file_digest(stream, "sha256").hexdigest() != one["sha256"]:
                raise Rejected("attachment.differs", one["sha256"])
        return one["name"], path

    def _took(self, name: str, said: dict[str, Any]) -> None:
        """One arrival, into the book."""
        fields = said["fields"]
        match said["kind"]:
            case "document":
                self._learn(fields["sender"])
                folded = fold(" ".join((fields["subject"], fields["code_number"], fields["code_notation"],
                                        fields["sender"], self.name(fields["sender"]))))  # fmt: skip
                self.book.receive(name, fields, said["append_ms"], folded)
                say(self.agency, said, ARRIVED)
            case "status" if fields["document"]["sender"] == self.agency.code:
                self.book.say(
                    fields["document"]["id"], fields["recipient"], fields["code"], fields["reason"], said["inbox_ms"]
                )
            case "notice" if self.book.sent(fields["statement"]["id"]) is not None:
                if fields["outcome"] == "rejected":
                    self.book.mark_sent(fields["statement"]["id"], rows.REFUSED, fields["code"])
                for recipient in fields["recipients"]:
                    self.book.say(
                        fields["statement"]["id"], recipient, rows.UNDELIVERABLE, fields["code"], said["inbox_ms"]
                    )
            case _:
                pass  # it lies in `items`: a report, or a word about what another system of the agency sent
        self.figures.items.labels("in", said["kind"]).inc()

    def _decide(self, name: str, state: str, incoming: int | None, reason: str) -> None:
        with self._lock:
            row = self.book.received(name)
            if row is None:
                raise Rejected("desk.unknown", name[:100])
            now = datetime.now(VIETNAM)
            now_ms = int(now.timestamp() * 1000)
            self.book.decide(name, state, now_ms, incoming=incoming, year=now.year, reason=reason)
            self.book.read(name, now_ms)
            decided = self.book.received(name)
            if decided is not None:
                self._sign(decided)

    def _sign(self, row: rows.Row) -> None:
        """Tell the sender what was decided; undone if the exchange's rules don't allow it."""
        code, done = _SIGNED[row["state"]]
        said = read_arrival(self.items / row["name"]).said
        owner, _, first = said["thread"].partition("/")
        about = {"sender": owner, "id": first} if code in {AGREED, DECLINED} else None
        try:
            say(self.agency, said, code, row["reason"], about)
        except Rejected as exc:
            if not (isinstance(exc, GatewayRefused) and is_the_worlds(exc)):
                self.book.mark(row["name"], rows.NEW)
            raise
        self.book.mark(row["name"], done)
        self.figures.items.labels("in", done).inc()

    def _composed(self, letter: Letter) -> Fields:
        now = datetime.now(VIETNAM)
        return compose.document(
            self.agency.code, letter.id, self.resolve(letter.recipients), " ".join(letter.subject.split()),
            signed_ms=int(now.timestamp() * 1000), issued=now.date(), code=(letter.number, letter.notation),
            type_=letter.type, content=letter.content.replace("\r\n", "\n").strip(), signer=(*letter.signer, None),
            urgency=letter.urgency, due=letter.due,
        )  # fmt: skip

    def _push(self, row: rows.Row, *, first: bool = False) -> None:
        """Let a prepared document go out. `first`: what a rule refuses is forgotten, and raised."""
        place = self.outgoing / row["id"]
        files = [(name, place / str(number)) for number, name in enumerate(json.loads(row["files"]))]
        try:
            published = self.agency.state("document", json.loads(row["fields"]), files)
        except Rejected as exc:
            if isinstance(exc, GatewayRefused) and is_the_worlds(exc):
                self.book.mark_sent(row["id"], rows.HANDED)  # it waits in the outbox until the agency is let in
                raise
            if first:
                self.book.forget(row["id"])
                raise
            self.book.mark_sent(row["id"], rows.REFUSED, exc.code)
            return
        self.book.mark_sent(row["id"], rows.SENT if published.is_sent else rows.HANDED)
        self.figures.items.labels("out", "sent").inc()

    def _went_out(self) -> None:
        """Nothing waits in the outbox any more: what was there is with the exchange, or was refused."""
        handed = self.book.in_state(rows.HANDED)
        refused = self.agency.refused() if handed else {}
        for row in handed:
            code = refused.get(row["id"], "")
            self.book.mark_sent(row["id"], rows.REFUSED if code else rows.SENT, code)

    def _resolved(self, text: str) -> str:
        code = self._as_code(text.split()[0].rstrip(",;"))
        if code is not None:
            return code
        candidates = self.agency.find(text[:100])
        exact = [one for one in candidates if fold(one["name"]) == fold(text)]
        chosen = exact if len(exact) == 1 else candidates
        if len(chosen) == 1:
            self.book.learn(chosen[0]["code"], chosen[0]["name"])
            return str(chosen[0]["code"])
        if not chosen:
            raise Rejected("desk.recipient_unknown", text[:100])
        some = "; ".join(f"{one['code']} {one['name']}" for one in chosen[:CANDIDATES])
        raise Rejected("desk.recipient_ambiguous", f"{text[:60]}: {some}")

    def _as_code(self, text: str) -> str | None:
        """The code that this is; None for a name's first word."""
        try:
            code = parse_code(text)
        except Rejected:
            return None
        try:
            found = self.agency.look_up(code)
        except Unavailable:
            return str(code)
        if found is None:
            return None
        if found["standing"] == "closed":
            raise Rejected("desk.recipient_closed", found["name"])
        self.book.learn(found["code"], found["name"])
        return str(found["code"])

    def _learn(self, code: str) -> None:
        if self.book.name(code) is None:
            with contextlib.suppress(Unavailable):
                found = self.agency.look_up(code)
                if found is not None:
                    self.book.learn(code, found["name"])


_SIGNED = {
    rows.ACCEPTING: (ACCEPTED, rows.ACCEPTED),
    rows.REFUSING: (REFUSED, rows.REFUSED),
    rows.AGREEING: (AGREED, rows.AGREED),
    rows.DECLINING: (DECLINED, rows.DECLINED),
}
"""The status to sign for a decision that was written, and what it is afterwards."""


def fold(text: str) -> str:
    """Lower case without diacritics, as people type."""
    apart = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(one for one in apart if not unicodedata.combining(one))
