"""`Agency`: an agency's document system in one object: publish, receive, acknowledge, recall, trace.

Guarantees: what `publish` returned for is on this disk, and goes out in order, over restarts, until the exchange has
it; every delivery is verified before it is handed out; a file has its name only once all its bytes are right. At
least once: an item of the inbox comes again if the process dies before the next one is asked for.

Not for several threads, nor several processes with one folder.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from exchange.agencies import parse_code
from exchange.errors import InvariantBroken, Misconfigured, Unavailable
from exchange.sdk import fetching, keys
from exchange.sdk.confidential import Content, is_confidential
from exchange.sdk.encrypting import Encrypting
from exchange.sdk.entries import Decided, Delegation, Published, Receipt, Received, Told, silent
from exchange.sdk.enveloping import DecryptionKey
from exchange.sdk.outbox import Outbox, media_type
from exchange.sdk.owed import Owed
from exchange.sdk.pdf import PdfSignature, is_signed_pdf, pdf_signatures
from exchange.sdk.place import Gap, InboxPlace
from exchange.sdk.sending import Outcome, Sending
from exchange.sdk.session import GatewayRefused, Session
from exchange.sdk.verifying import Verifying
from exchange.sdk.watching import CHECK_EVERY_S, Watching
from exchange.sdk.wire import Direct, Wire
from exchange.signatures import SigningKey, Word, sign_batch, sign_record
from exchange.statements import KINDS, Fields
from exchange.statements.compose import attachment, document, encode, follow_up, status
from exchange.statements.status import ARRIVED

PATIENCE_S = 20.0
PAGE = 100
WAIT_S, POLL_S = 90.0, 0.5
VIETNAM = timezone(timedelta(hours=7))


def _now_ms() -> int:
    return int(time.time() * 1000)


class Agency:
    """An agency at a gateway.

    `key`: its seal, or the folder that holds ``seal.key.pem`` and ``seal.crt.pem``. `folder`: of its outbox and its
    place in the inbox. `patience_s`: how long to try when the gateway doesn't answer. `roots`: DER of the roots to
    trust, by default those that the gateway names. `ca`: PEM of the gateway's own issuer, if the system has it not.
    `decryption_keys`: for what is encrypted to this agency, by default those in ``encryption/`` of the key's folder.
    `mutual_tls`: show the seal's certificate in the handshake, instead of asking for tokens; the key is in files then.
    `ledger_key`: C2SP verifier key, by default the one that the gateway names first; `check_every_s`: how often the
    ledger must prove that it goes on.

    Every method may raise LedgerBroken: the ledger said two things, or doesn't hold a submission of a while ago, looked
    up now and then, as was promised.
    """

    _wire: type[Wire] = Direct

    def __init__(
        self,
        code: str,
        key: SigningKey | Path | str,
        gateway: str,
        *,
        folder: Path | str | None = None,
        patience_s: float = PATIENCE_S,
        roots: Sequence[bytes] | None = None,
        ca: Path | str | None = None,
        decryption_keys: Sequence[DecryptionKey] | None = None,
        mutual_tls: bool = False,
        ledger_key: str | None = None,
        check_every_s: float = CHECK_EVERY_S,
        clock: Callable[[], int] = _now_ms,
    ) -> None:
        self.code: str = parse_code(code)
        self._key = key if isinstance(key, SigningKey) else keys.load(Path(key))
        if decryption_keys is None:
            decryption_keys = [] if isinstance(key, SigningKey) else keys.load_decryption(Path(key))
        self._folder = Path(folder) if folder is not None else Path(".exchange") / "agencies" / self.code
        tls = _secured(ca, key if mutual_tls else None)
        self._session = Session(
            self.code, self._key, gateway, patience_s, self._wire(gateway.rstrip("/"), tls), needs_token=not mutual_tls
        )
        self._outbox = Outbox(self._folder / "outbox")
        self._sending = Sending(self._session, self._outbox)
        self._verifying = Verifying(self._session, roots)
        self._encrypting = Encrypting(self._session, self._outbox, self._verifying, decryption_keys)
        self._watching = Watching(self._session, self._folder / "ledger", ledger_key, check_every_s, clock)
        self._owed = Owed(self._folder / "owed.json")
        self._place = InboxPlace(self._folder)
        self._clock, self._check_every_s, self._collected = clock, check_every_s, -check_every_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the outbox and the gateway; what waits, waits on disk."""
        self._outbox.close()
        self._session.close()

    @property
    def waiting(self) -> int:
        """How many signed statements wait in the outbox."""
        return len(self._outbox)

    def publish(
        self,
        files: Sequence[Path | str],
        to: Sequence[str],
        subject: str,
        *,
        told: Told = silent,
        leader: SigningKey | None = None,
        encrypt: bool = False,
        delegation: Delegation | None = None,
        **more: Any,  # noqa: ANN401  as `compose.document` takes them
    ) -> Published:
        """Sign a document with these files and send it.

        `leader`: signs too, where `signer` names one. `delegation`: in another agency's name, which let us sign for it;
        the receipts and notices come to its inbox. `encrypt`: files and `content` so that only the recipients read
        them, by the keys that the directory lists for each; the subject stays readable, and the gateway must answer.
        `more`: as `exchange.statements.compose.document`: ``code``, ``type_``, ``urgency``, ``information``,
        ``content``, ``due``, ``signer``.

        Raises: Rejected if a rule or the gateway refuses it (then nothing of it waits); ``encryption.no_reader``,
            ``encryption.group``: a recipient that can't be encrypted to. While the gateway is away it
            is kept: `Published.is_sent` is False, and `flush` or the next `publish` sends it.
        """
        fields = self._document(
            [] if encrypt else files, to, subject, told, {**more, "content": ""} if encrypt else more
        )
        if delegation is not None:
            fields = {**fields, "sender": delegation.agency}
        if encrypt:
            fields = self._encrypting.attach(fields, [*map(Path, files)], more.get("content", ""), told)
        return self._signed("document", fields, told, leader, delegation)

    def publish_batch(
        self,
        documents: Sequence[tuple[Sequence[Path | str], Sequence[str], str]],
        *,
        told: Told = silent,
        **more: Any,  # noqa: ANN401
    ) -> list[Published]:
        """Sign many documents (files, to, subject) with one signature and send them, in this order.

        Raises: Rejected, before anything is kept, if a rule refuses one; or with the first that the gateway refused.
        """
        if not documents:
            return []
        listed = [self._document(files, to, subject, told, more) for files, to, subject in documents]
        raws = [encode("document", fields) for fields in listed]
        return self._send("document", listed, sign_batch(raws, self._key, self.code, _now_ms()), told)

    def state(
        self,
        kind: str,
        fields: Fields,
        files: Sequence[tuple[str, Path]] = (),
        *,
        told: Told = silent,
        leader: SigningKey | None = None,
        delegation: Delegation | None = None,
    ) -> Published:
        """Sign and send a statement whose fields the caller composed (`exchange.sdk.compose`).

        `files`: what each attachment is to be called, and where its bytes are. `delegation`: as `publish`. The
        same fields again, after a crash, count once. Raises: as `publish`.
        """
        if files:
            fields = {**fields, "attachments": self._attached(files, told)}
        return self._signed(kind, fields, told, leader, delegation)

    def acknowledge(self, received: Received, code: int = ARRIVED, reason: str = "") -> Published:
        """Sign a receipt (01 arrived, 03 accepted …, 02 refused with a reason) for a document or report received.

        The same code again, after a crash, changes nothing.
        """
        fields = status(
            self.code, str(uuid.uuid4()), received.fields, code, reason=reason, signed_ms=_now_ms(),
            document_append_ms=received.append_ms, thread=received.thread,
        )  # fmt: skip
        return self._signed("status", fields)

    def recall(self, published: Published, subject: str) -> Published:
        """Ask the recipients of a document of ours to give it back; each answers by a status."""
        fields = follow_up(published.fields, "recall", str(uuid.uuid4()), subject, signed_ms=_now_ms())
        return self._signed("document", fields)

    def refused(self) -> dict[str, str]:
        """What the gateway refused while the outbox was emptied, and why: codes by the statement's id."""
        return self._outbox.refused()

    def flush(self, told: Told = silent) -> int:
        """Send what waits; returns how much waits still. Raises: GatewayRefused if the agency isn't let in."""
        with contextlib.suppress(Unavailable):
            self._sending.empty(Outcome(), told)
            self._collect()
        return self.waiting

    def inbox(
        self, *, follow: bool = False, wait_s: float = 30.0, kinds: Sequence[str] = ()
    ) -> Generator[Received, None, None]:
        """What arrived since the last item that was dealt with; with `follow`, for ever.

        An item is dealt with when the next one is asked for; leaving the loop at an item, say so by `dealt_with`.
        Not read for longer than the exchange keeps an inbox: it goes on with the oldest kept, and `gaps` tells.
        Raises: InvariantBroken if one doesn't verify.
        """
        cursor = self._place.cursor()
        while True:
            query: dict[str, Any] = {"limit": PAGE, "wait": wait_s if follow else 0, "kind": list(kinds)}
            if cursor:
                query["cursor"] = cursor
            try:
                page = self._session.call("GET", "/v1/inbox", query=query)
            except GatewayRefused as exc:
                if exc.code != "cursor.expired" or not cursor:
                    raise
                self._place.step_over(self._clock())
                cursor = ""
                continue
            self._collect()
            for found in page["deliveries"]:
                yield self._received(found)
                self._place.move(found["cursor"])
            if page["cursor"] != cursor:
                cursor = page["cursor"]
                self._place.move(cursor)
            if not follow and not page["more"]:
                return

    def gaps(self) -> list[Gap]:
        """Where the inbox went on beyond what was no longer kept: ask the operator for what came in between."""
        return self._place.gaps()

    def dealt_with(self, received: Received) -> None:
        """Let the inbox go on after this item next time."""
        self._place.move(received.cursor)

    def save(self, received: Received, folder: Path | str) -> list[Path]:
        """Fetch the attachments of a delivery into a folder; a file has its name only once all is right.

        Those of a confidential document are decrypted, and have their own names. Raises: Rejected
            ``attachment.differs``, and as `content`.
        """
        if is_confidential(received.fields):
            return self._encrypting.save(received.fields, Path(folder))
        return fetching.save(self._session, received.fields.get("attachments", []), Path(folder))

    def content(self, received: Received) -> Content:
        """The text of a document and its list of files, decrypted if it is confidential.

        Raises: Rejected ``encryption.not_for_us`` (no key of ours opens it), ``encryption.damaged``,
            ``encryption.other_document`` (its sender copied another's), ``encryption.malformed``, ``.profile``.
        """
        return self._encrypting.content(received.fields)

    def pdf_signatures(self, path: Path | str) -> list[PdfSignature]:
        """The signatures inside a PDF (PAdES), each judged by the roots that statements are; needs the extra ``pdf``.

        None for what is no PDF, or isn't signed. Raises: Misconfigured without the extra; Unavailable; OSError.
        """
        path = Path(path)
        return pdf_signatures(path, self._verifying.roots()) if is_signed_pdf(path) else []

    def trace(self, statement_id: str, sender: str | None = None) -> dict[str, Any]:
        """Where a document of ours, sent or received, is; Rejected ``trace.not_found``."""
        query = {} if sender is None else {"sender": sender}
        found: dict[str, Any] = self._session.call("GET", f"/v1/trace/{quote(statement_id, safe='')}", query=query)
        return found

    def decided(self, receipt: Receipt, wait_s: float = WAIT_S) -> Decided:
        """The backbone's signed word on a submission of ours, waited for.

        Raises: Unavailable ``promise.not_given`` after `wait_s`; InvariantBroken if it doesn't verify.
        """
        word, record = self._promise(receipt, time.monotonic() + wait_s)
        return Decided(word.fields["outcome"], word.fields["code"], word.fields["included_ms"], record)

    def confirm(self, receipt: Receipt, wait_s: float = WAIT_S) -> Decided:
        """The same, and the proof that the ledger holds it, as was promised.

        Raises: LedgerBroken ``ledger.promise_broken``: the promised time is over; Unavailable ``promise.not_given``,
            ``ledger.behind`` after `wait_s`.
        """
        deadline = time.monotonic() + wait_s
        word, record = self._promise(receipt, deadline)
        fields = word.fields
        while (found := self._asked("inclusion", receipt, "ledger.behind")) is None:
            self._watching.require_time(word, record)
            self._pause(deadline, "ledger.behind")
        size = self._watching.included(word, found).size
        return Decided(fields["outcome"], fields["code"], fields["included_ms"], record, size)

    def lapses(self, receipt: Receipt) -> dict[str, bytes]:
        """Who hadn't acknowledged a document of ours when it was due, each with the backbone's signed word."""
        found = self._session.call("GET", _place("lapses", receipt))["lapses"]
        records = [base64.b64decode(one["record"]) for one in found]
        words = [(self._verifying.word(record, "lapse").fields, record) for record in records]
        return {fields["recipient"]: record for fields, record in words if _is_about(fields, receipt)}

    def _collect(self) -> None:
        """Check one submission of a while ago, now and then: that it was promised, and the promise kept."""
        if time.monotonic() - self._collected < self._check_every_s:
            return
        receipt = self._owed.due(self._clock())
        if receipt is None:
            return
        self._collected = time.monotonic()
        try:
            self.confirm(receipt, wait_s=0)
        except Unavailable:
            self._owed.later(receipt)
        except GatewayRefused as exc:
            if exc.code not in {"ledger.absent", "evidence.gone", "evidence.erased"}:
                raise
            self._owed.settled(receipt)
        else:
            self._owed.settled(receipt)

    def _promise(self, receipt: Receipt, deadline: float) -> tuple[Word, bytes]:
        while (found := self._asked("promises", receipt, "promise.not_given")) is None:
            self._pause(deadline, "promise.not_given")
        record = base64.b64decode(found["record"])
        word = self._verifying.word(record, "promise")
        if not _is_about(word.fields, receipt):
            raise InvariantBroken(f"a promise about something else than {receipt}")
        return word, record

    def _asked(self, what: str, receipt: Receipt, not_yet: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._session.call("GET", _place(what, receipt))
        except GatewayRefused as exc:
            if exc.code in {not_yet, "promise.not_given"}:
                return None
            raise
        return found

    def _pause(self, deadline: float, code: str) -> None:
        """Wait a little; Unavailable when that would be beyond the deadline."""
        if time.monotonic() + POLL_S > deadline:
            raise Unavailable(code, "not within the time that was given")
        self._session.wire.pause(POLL_S)

    def find(self, text: str) -> list[dict[str, Any]]:
        """Agencies by code or name, with or without diacritics."""
        found: list[dict[str, Any]] = self._session.call("GET", "/v1/agencies", query={"find": text})["agencies"]
        return found

    def agencies(self) -> Iterator[dict[str, Any]]:
        """All agencies of the directory, by code; asked for in pages."""
        after = ""
        while page := self._session.call("GET", "/v1/agencies", query={"after": after})["agencies"]:
            yield from page
            after = page[-1]["code"]

    def look_up(self, code: str) -> dict[str, Any] | None:
        """One agency by any of its codes, or None if the directory knows no such."""
        try:
            found: dict[str, Any] = self._session.call("GET", f"/v1/agencies/{quote(code, safe='')}")
        except GatewayRefused as exc:
            if exc.status == 404:
                return None
            raise
        return found

    def _document(
        self, files: Sequence[Path | str], to: Sequence[str], subject: str, told: Told, more: dict[str, Any]
    ) -> Fields:
        attached = self._attached([(path.name, path) for path in map(Path, files)], told)
        today = datetime.now(VIETNAM).date()
        fields = document(
            self.code, str(uuid.uuid4()), to, subject,
            **{"signed_ms": _now_ms(), "issued": today, "attachments": attached, **more},
        )  # fmt: skip
        KINDS["document"].check(fields)
        return fields

    def _attached(self, files: Sequence[tuple[str, Path]], told: Told) -> list[Fields]:
        kept = [(name, self._session.wire.aside(self._outbox.keep, path, told)) for name, path in files]
        return [attachment(name, media_type(name), ref.size, ref.sha256) for name, ref in kept]

    def _signed(
        self,
        kind: str,
        fields: Fields,
        told: Told = silent,
        leader: SigningKey | None = None,
        delegation: Delegation | None = None,
    ) -> Published:
        KINDS[kind].check(fields)
        seal = self._key if delegation is None else delegation.key
        signers = [seal] if leader is None else [leader, seal]
        return self._send(kind, [fields], [sign_record(encode(kind, fields), signers)], told)[0]

    def _send(self, kind: str, listed: list[Fields], records: list[bytes], told: Told) -> list[Published]:
        places = self._session.wire.aside(self._outbox.put, records)
        outcome = Outcome()
        with contextlib.suppress(Unavailable):
            self._sending.empty(outcome, told)
        for place in places:
            if place in outcome.refusals:
                raise outcome.refusals[place]
        if places and places[0] in outcome.receipts and listed[0]["sender"] == self.code:
            self._owed.add(outcome.receipts[places[0]])
            self._collect()
        return [
            Published(fields["id"], kind, fields, outcome.receipts.get(place))
            for fields, place in zip(listed, places, strict=True)
        ]

    def _received(self, found: dict[str, Any]) -> Received:
        record = base64.b64decode(found["record"])
        kind, fields, thread, raw = self._verifying.open(record, found["append_ms"])
        return Received(
            kind, fields, thread, raw, found["topic"], found["partition"], found["offset"], found["append_ms"],
            found["inbox_ms"], found["cursor"],
        )  # fmt: skip


def _place(what: str, receipt: Receipt) -> str:
    return f"/v1/{what}/{receipt.topic}/{receipt.partition}/{receipt.offset}"


def _is_about(fields: Fields, receipt: Receipt) -> bool:
    place = (receipt.topic, receipt.partition, receipt.offset, receipt.append_ms)
    return place == tuple(fields[name] for name in ("topic", "partition", "offset", "append_ms"))


def _secured(ca: Path | str | None, shown: SigningKey | Path | str | None) -> ssl.SSLContext | None:
    """Whom to trust and what to show; None: as the system does. Raises: Misconfigured."""
    if ca is None and shown is None:
        return None
    if isinstance(shown, SigningKey):
        raise Misconfigured(["mutual TLS needs the folder of the key, not the key"])
    try:
        tls = ssl.create_default_context(cafile=ca)
        if shown is not None:
            tls.load_cert_chain(Path(shown) / "seal.crt.pem", Path(shown) / "seal.key.pem")
    except (ssl.SSLError, OSError) as exc:
        raise Misconfigured([f"no TLS with {shown or ca}: {exc}"]) from exc
    return tls
