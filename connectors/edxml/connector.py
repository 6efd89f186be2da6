"""The connector: an agency's packets out as signed statements, and what arrives for it as packets.

Guarantees: the same packet sent again, after any crash, is the same statement, which counts once. A packet goes out
with its own bytes as the last attachment (a status: within the statement), so a recipient's connector hands out the
very packet, byte for byte, once it has checked that the packet says what was signed. Nothing of the inbox is lost:
what has no form in edXML, or a packet that says other than its statement, is kept as a dead letter, with its code.

Not for several processes with one folder. Its methods may be called from several threads; they take turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4, uuid5

from connectors.edxml import metrics
from connectors.edxml.book import INITIAL, PREPARED, REFUSED, SENT, UNDELIVERABLE, Book, Got, Said, Sent
from connectors.edxml.building import build_document, build_status
from connectors.edxml.codes import BusinessType
from connectors.edxml.drafting import MEDIA_TYPE, Thread, agency_code, document_fields, status_fields, targets
from connectors.edxml.limits import Limits
from connectors.edxml.packet import VIETNAM, Organ, Packet, Status, open_packet
from connectors.edxml.signing import is_signed, verify
from exchange.errors import Rejected, Unavailable
from exchange.sdk import Agency, Fields, GatewayRefused, Published, Received, SigningKey, Told, compose

PACKET_NAME = "packet.edxml"
"""The last attachment of a document that came as a packet."""
_IDS = UUID("5f2c1a5e-2c0f-5a53-9d53-6f3b3d1f1a10")
_EPOCH = date(1970, 1, 1)
TAKE_BACK_ASKED = 13
_NOT_LET_IN = (401, 403)
FOUND_S = 600.0
"""A recipient that could be reached isn't asked for again so long."""


class Leading(NamedTuple):
    """A leader who signs every document of this connector: directory id and key."""

    id: str
    key: SigningKey


class Connector:
    """An agency's connector. `folder`: of its book, packets and dead letters. `sandbox`: takes lower-case codes.
    `sha1`: takes packets with old XML signatures."""

    def __init__(
        self,
        agency: Agency,
        folder: Path,
        *,
        limits: Limits | None = None,
        leading: Leading | None = None,
        sandbox: bool = False,
        sha1: bool = False,
    ) -> None:
        self.agency = agency
        self.folder = folder
        self.limits = limits or Limits()
        self._leading = leading
        self._sandbox = sandbox
        self._sha1 = sha1
        self._packets, self._work = folder / "packets", folder / "work"
        self.dead_letters = folder / "dead-letters"
        for place in (folder, self._packets, self.dead_letters):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._work, ignore_errors=True)  # what a killed process left half done
        self._work.mkdir(mode=0o700)
        self.book = Book(folder / "book.sqlite")
        self._organs: dict[str, Organ] = {}
        self._found_open: dict[str, float] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the book; the agency is the caller's."""
        self.book.close()

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder for a while, on the disk where packets are kept."""
        with TemporaryDirectory(dir=self._work) as folder:
            yield Path(folder)

    def send(self, source: Path, told: Told = lambda *_: None) -> Sent:
        """Send a packet's document or status, as a statement signed by the agency. An XML signature in it must verify.

        Returns once the exchange has it, or, while it is away, once it waits in the outbox (state ``prepared``).
        Raises: Rejected: the packet or the gateway's refusal; it is kept as a dead letter, and the same may be sent
            again. Unavailable before anything is kept.
        """
        with self._lock:
            doc_id = self._own_id(source)
            known = self.book.sent(doc_id)
            if known is not None and known.state == SENT:
                return known
            try:
                with self.workplace() as folder:
                    packet = open_packet(source, folder, self.limits)
                    if is_signed(packet):
                        verify(source, packet, sha1=self._sha1, limits=self.limits)
                    if isinstance(packet.header, Status):
                        sent = self._send_status(doc_id, packet, packet.header)
                    else:
                        sent = self._send_document(doc_id, packet, source, told)
            except Rejected as exc:
                self._set_aside(doc_id, exc, source=source)
                metrics.PACKETS.labels("sent", "refused").inc()
                raise
            metrics.PACKETS.labels("sent", sent.state).inc()
            return sent

    def receive(self) -> int:
        """Take what arrived into the book; returns how much it was. Again, after a crash, changes nothing.

        Raises: Unavailable, GatewayRefused; InvariantBroken if a delivery doesn't verify.
        """
        with self._lock:
            self._flush()
            count = 0
            for received in self.agency.inbox():
                self._take(received)
                count += 1
            return count

    def packet(self, doc_id: str) -> Path:
        """The file of a packet for us; Rejected ``edxml.doc_unknown``."""
        path = self._packets / f"{doc_id}.edxml"
        if self.book.received(doc_id) is None or not path.is_file():
            raise Rejected("edxml.doc_unknown", doc_id[:64])
        return path

    def agencies(self) -> list[dict[str, Any]]:
        """All agencies that documents can be sent to, as the directory states them."""
        with self._lock:
            return [one for one in self.agency.agencies() if one["standing"] != "closed"]

    def acknowledge(self, doc_id: str, code: int, reason: str = "") -> Published:
        """Say a status about a document for us; Rejected ``edxml.doc_unknown``, ``status.*``."""
        with self._lock:
            got = self.book.received(doc_id)
            if got is None or got.kind != "edoc":
                raise Rejected("edxml.doc_unknown", doc_id[:64])
            owner, _, first = got.thread.partition("/")
            fields = compose.status(
                self.agency.code, str(uuid4()), {"sender": owner, "id": first}, code, signed_ms=_now_ms(),
                document_append_ms=got.append_ms, thread=got.thread, reason=reason,
            )  # fmt: skip
            return self.agency.state("status", fields)

    def _flush(self) -> None:
        """Send what waits; once nothing does, what was prepared has gone out or was refused."""
        prepared = self.book.prepared()
        if prepared and self.agency.flush() == 0:
            refused = self.agency.refused()
            for row in prepared:
                code = refused.get(row.doc_id, "")
                self.book.mark(row.doc_id, REFUSED if code else SENT, _now_ms(), code=code)

    def _own_id(self, source: Path) -> str:
        with source.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        return str(uuid5(_IDS, f"{self.agency.code}/{digest}"))

    def _send_document(self, doc_id: str, packet: Packet, source: Path, told: Told) -> Sent:
        self._require_own(packet)
        threads: list[Thread | None] = [None]
        if packet.business.type is not BusinessType.NEW:
            threads = [*self._threads(packet)]
        files = [*((one.name, one.content) for one in packet.attachments), (PACKET_NAME, source)]
        first: Sent | None = None
        for number, thread in enumerate(threads):
            own_id = doc_id if number == 0 else str(uuid5(_IDS, f"{doc_id}/{number}"))
            row, fields = self._drafted(own_id, packet, thread)
            self._require_recipients(fields)
            self.book.prepare(row)
            key = None if self._leading is None else self._leading.key
            published = self.agency.state("document", fields, files, told=told, leader=key)
            marked = self._marked(row, published)
            first = first or marked
        if first is None:
            raise Rejected("edxml.target_unknown", "it names none")
        return first

    def _drafted(self, doc_id: str, packet: Packet, thread: Thread | None) -> tuple[Sent, Fields]:
        """The row and the fields; an earlier attempt that was not refused keeps its time, so both are the same."""
        known = self.book.sent(doc_id)
        now = _now_ms() if known is None or known.state == REFUSED else known.signed_ms
        leader = None if self._leading is None else self._leading.id
        today = datetime.fromtimestamp(now / 1000, VIETNAM).date()
        fields = document_fields(packet, doc_id, now, today, thread=thread, leader=leader, sandbox=self._sandbox)
        header = packet.document
        row = Sent(
            doc_id, "edoc", fields["thread"] or f"{self.agency.code}/{doc_id}", fields["lane"], header.document_id,
            f"{header.number}/{header.notation}", fields["to"], now, 0, PREPARED, "", now, now,
        )  # fmt: skip
        return row, fields

    def _send_status(self, doc_id: str, packet: Packet, header: Status) -> Sent:
        self._require_own(packet)
        about = header.response_for
        other = agency_code(about.organ_id, sandbox=self._sandbox)
        found = self.book.received_about(other, about.document_id, about.code)
        if found is None or header.code == TAKE_BACK_ASKED:
            ours = self.book.sent_about(about.document_id, about.code)
            if ours is None:
                raise Rejected("edxml.target_unknown", f"{about.document_id[:100]} {about.code[:50]}")
            thread, append_ms = ours.thread, ours.append_ms or ours.signed_ms
        else:
            thread, append_ms = found.thread, found.append_ms
        known = self.book.sent(doc_id)
        now = _now_ms() if known is None or known.state == REFUSED else known.signed_ms
        fields = status_fields(packet, doc_id, now, thread, append_ms, sandbox=self._sandbox)
        row = Sent(doc_id, "status", thread, "", about.document_id, about.code, [other], now, 0, PREPARED, "", now, now)
        self.book.prepare(row)
        return self._marked(row, self.agency.state("status", fields))

    def _marked(self, row: Sent, published: Published) -> Sent:
        if published.receipt is not None:
            self.book.mark(row.doc_id, SENT, _now_ms(), append_ms=published.receipt.append_ms)
        return self.book.sent(row.doc_id) or row

    def _threads(self, packet: Packet) -> Iterator[Thread]:
        """The threads that a packet goes on with: all that a replacement names, else the first one that is known."""
        is_replacement = packet.business.type is BusinessType.REPLACE
        named = targets(packet)
        for document_id in named:
            found = self.book.sent_about(document_id, "")
            if found is not None:
                yield Thread(found.thread, found.lane)
                if not is_replacement:
                    return
            elif is_replacement:
                raise Rejected("edxml.target_unknown", document_id[:100])
        if not is_replacement or not named:
            raise Rejected("edxml.target_unknown", ", ".join(named)[:200])

    def _require_own(self, packet: Packet) -> None:
        if agency_code(packet.sender.id, sandbox=self._sandbox) != self.agency.code:
            raise Rejected("edxml.sender_not_ours", packet.sender.id[:40])

    def _require_recipients(self, fields: Fields) -> None:
        """Refuse at once what the exchange would refuse later; while it is away, it will."""
        with contextlib.suppress(Unavailable):
            for code in fields["to"]:
                if self._found_open.get(code, 0.0) > time.monotonic():
                    continue
                found = self.agency.look_up(code)
                if found is None:
                    raise Rejected("recipient.unknown", code)
                if found["standing"] == "closed":
                    raise Rejected("recipient.closed", code)
                self._found_open[code] = time.monotonic() + FOUND_S

    def _take(self, received: Received) -> None:
        """One delivery: it is in the book, and its packet on the disk, when this returns.

        What can't be had for ever, such as an attachment that is gone, is set aside and doesn't hold up the others.
        """
        try:
            self._dealt_with(received)
        except Rejected as exc:
            if isinstance(exc, GatewayRefused) and exc.status in _NOT_LET_IN:
                raise
            self._set_aside(self._id_of(received), exc, raw=received.raw)
        metrics.PACKETS.labels("received", received.kind).inc()

    def _dealt_with(self, received: Received) -> None:
        match received.kind:
            case "document":
                self._take_document(received)
            case "status":
                self._take_status(received)
            case "notice":
                self._take_notice(received)
            case _:
                raise Rejected("edxml.no_form", received.kind)

    def _take_notice(self, received: Received) -> None:
        """The backbone's word about a statement of ours."""
        fields = received.fields
        ours = self.book.sent(fields["statement"]["id"])
        if ours is None:
            return  # said by another system of the agency
        if fields["outcome"] == "rejected":
            self.book.mark(ours.doc_id, REFUSED, _now_ms(), code=fields["code"])
        for recipient in fields["recipients"]:
            self.book.say(ours.thread, Said(recipient, UNDELIVERABLE, fields["code"], received.inbox_ms))

    def _take_document(self, received: Received) -> None:
        fields = received.fields
        doc_id = self._id_of(received)
        with self.workplace() as folder:
            saved = self.agency.save(received, folder / "saved")
            document_id = self._carried(received, saved, folder)
            if document_id is not None:
                made = saved[-1]
            else:
                made = folder / "made.edxml"
                build_document(made, fields, saved, self._organ)
            self._keep(made, doc_id)
        self.book.receive(
            Got(
                doc_id, "edoc", fields["sender"], fields["id"], received.thread, document_id or fields["id"],
                f"{fields['code_number']}/{fields['code_notation']}", fields["subject"], received.append_ms, INITIAL,
                received.inbox_ms, received.inbox_ms,
            )
        )  # fmt: skip

    def _carried(self, received: Received, saved: list[Path], folder: Path) -> str | None:
        """The DocumentId of the packet that a document carries, if it says what was signed; None if there is none."""
        fields = received.fields
        if not saved or fields["attachments"][-1]["name"] != PACKET_NAME:
            return None
        try:
            packet = open_packet(saved[-1], folder, self.limits)
            thread = None if fields["thread"] is None else Thread(fields["thread"], fields["lane"])
            said = document_fields(
                packet, fields["id"], fields["signed_ms"], _EPOCH + timedelta(days=fields["issued"]), thread=thread,
                leader=fields["signer"]["leader"], sandbox=True,
            )  # fmt: skip
            attached = [(one.name, _digest(one.content)) for one in packet.attachments]
            signed = [(one["name"], one["sha256"]) for one in fields["attachments"][:-1]]
            if {**said, "attachments": fields["attachments"]} != fields or attached != signed:
                raise Rejected("edxml.differs", "the packet says other than the statement that carries it")
        except Rejected as exc:
            self._set_aside(self._id_of(received), exc, source=saved[-1])
            return None
        return packet.document.document_id

    def _take_status(self, received: Received) -> None:
        fields = received.fields
        owner = fields["document"]["sender"]
        ours = self.book.sent(fields["document"]["id"]) if owner == self.agency.code else None
        number = "" if ours is None else ours.number
        if owner == self.agency.code and fields["recipient"] == fields["sender"]:
            self.book.say(
                received.thread, Said(fields["recipient"], fields["code"], fields["reason"], received.inbox_ms)
            )
        doc_id = self._id_of(received)
        with self.workplace() as folder:
            made = folder / "status.edxml"
            if not self._carried_status(received, made, folder):
                build_status(made, fields, number, self._organ)
            self._keep(made, doc_id)
        self.book.receive(
            Got(
                doc_id, "status", fields["sender"], fields["id"], received.thread, fields["document"]["id"], number,
                fields["reason"], received.append_ms, INITIAL, received.inbox_ms, received.inbox_ms,
            )
        )  # fmt: skip

    def _carried_status(self, received: Received, target: Path, folder: Path) -> bool:
        """Whether a status carries a packet that says what was signed; then it is written."""
        extension = received.fields.get("extension")
        if extension is None or extension["media_type"] != MEDIA_TYPE:
            return False
        target.write_bytes(extension["content"])
        try:
            packet = open_packet(target, folder, self.limits)
            fields = received.fields
            said = status_fields(
                packet, fields["id"], fields["signed_ms"], received.thread, fields["document_append_ms"], sandbox=True
            )
            if said != fields:
                raise Rejected("edxml.differs", "the packet says other than the status that carries it")
        except Rejected as exc:
            self._set_aside(self._id_of(received), exc, source=target)
            return False
        return True

    def _id_of(self, received: Received) -> str:
        return str(uuid5(_IDS, f"in/{received.fields['sender']}/{received.kind}/{received.fields['id']}"))

    def _keep(self, made: Path, doc_id: str) -> None:
        """Let a packet be found under its id, once all of it is on the disk."""
        with made.open("rb") as stream:
            os.fsync(stream.fileno())
        made.replace(self._packets / f"{doc_id}.edxml")

    def _organ(self, code: str) -> Organ:
        if code not in self._organs:
            found = self.agency.look_up(code)
            parent = found and found["parent"]
            above = self.agency.look_up(parent) if parent else None
            self._organs[code] = Organ(code, found["name"] if found else "", in_charge=above["name"] if above else "")
        return self._organs[code]

    def _set_aside(self, name: str, exc: Rejected, *, source: Path | None = None, raw: bytes = b"") -> None:
        """Keep what can't be dealt with, and why."""
        path = self.dead_letters / (f"{name}.edxml" if source is not None else f"{name}.statement")
        if source is not None:
            shutil.copyfile(source, path)
        else:
            path.write_bytes(raw)
        why = {"code": exc.code, "detail": exc.detail[:500], "at_ms": _now_ms()}
        path.with_suffix(".json").write_text(json.dumps(why, ensure_ascii=False), "utf-8")
        metrics.DEAD_LETTERS.labels(exc.code).inc()


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").digest()


def _now_ms() -> int:
    return int(time.time() * 1000)
