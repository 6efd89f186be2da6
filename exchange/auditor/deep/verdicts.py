"""What must have become of each submission: the verdict derived again, from its bytes alone.

Guarantees: as of the directory that the event names, by code of the auditor's own: who signed (`signed`), whether it
was said before, who may say it to whom, and what it does to earlier copies (`copies`). Every field of the event, the
dead letter's detail and the duplicate store's log must say the same. For what was refused at the gate the gate itself
is asked again, since its code is part of the public interface: so a tampered record is found, but not a gate that
always refused wrongly.

Not derived: what an operator set aside (the audit holds that against the decision), and what depends on submissions
older than the oldest that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from exchange.agencies import Directory, DirectoryView
from exchange.auditor.deep.attachments import AttachmentAudit
from exchange.auditor.deep.copies import Copies, Outcome, Unknown
from exchange.auditor.deep.signed import Signatures
from exchange.auditor.deep.store_log import StoreLog
from exchange.auditor.findings import Findings
from exchange.auditor.recount import Recount, murmur2
from exchange.auditor.said import Said, read_statement
from exchange.auditor.scope import Case
from exchange.errors import Rejected, Unavailable
from exchange.signatures import Trust, TrustCache, admit
from exchange.statements import KINDS, Fields, Statement

_NOTHING: Fields = {
    "sender_level": 0,
    "certificate": None,
    "summary": None,
    "status": None,
    "deliveries": [],
    "accepted_offset": -1,
}
"""What the event of a submission that was not accepted says."""


@dataclass(slots=True)
class Gate:
    """What it takes to ask the gate again, and to look at signatures and attachments; None: they are left out."""

    directory: Directory
    roots: Sequence[bytes]
    storage_keys: Sequence[bytes] | None
    signatures: Signatures | None
    attachments: AttachmentAudit | None = None
    _cache: TrustCache = field(default_factory=TrustCache)
    _trust: Trust | None = None

    def refusal(self, case: Case, view: DirectoryView) -> Rejected | None:
        """What the gate says against a submission; None if it lets it in."""
        trust = self._trust
        if trust is None or trust.view is not view:
            trust = self._trust = Trust(view, self.roots, self._cache)
        try:
            admit(case.read.value, case.append_ms, trust, storage_keys=self.storage_keys)
        except Rejected as exc:
            return exc
        except Unavailable as exc:
            return Rejected(exc.code, exc.detail)
        return None


class Verdicts:
    """The verdicts of one partition number."""

    def __init__(self, gate: Gate, recount: Recount, copies: Copies, log: StoreLog, findings: Findings) -> None:
        self._gate = gate
        self._recount = recount
        self._copies = copies
        self._log = log
        self._findings = findings
        self._newest_ms = 0

    def check(self, case: Case) -> str | None:
        """Derive one verdict and compare; returns the detail that its dead letter must have, if that is known."""
        self._newest_ms = max(self._newest_ms, case.append_ms)
        self._copies.stated = case.event["code"] or case.event["outcome"]
        outcome = case.event["outcome"]
        if outcome == "set_aside":
            return None
        if outcome == "rejected":
            return self._rejected(case)
        try:
            said = read_statement(case.read.value)
            seal = self._seal(case, said)
        except Rejected as exc:
            self._findings.add("audit.wrong_signature", case.at, str(exc), case.id)
            return None
        if outcome == "accepted":
            self._accepted(case, said, seal)
        else:
            self._duplicate(case, said)
        return None

    def finish(self) -> None:
        """Name what the duplicate store's log has beyond all that."""
        self._log.finish(self._copies, self._newest_ms)

    def _seal(self, case: Case, said: Said) -> bytes | None:
        signatures = self._gate.signatures
        if signatures is None:
            return None
        return signatures.seal_of(case.at, said, case.append_ms, self._recount.view)

    def _accepted(self, case: Case, said: Said, seal: bytes | None) -> None:
        event = case.event
        try:
            derived = self._derive(case, said)
        except Unknown:
            sender = self._recount.sender(said.fields["sender"])
            copies = [] if said.kind == "status" else self._recount.copies(said, sender)
            derived = self._copies.bare(case.at, case.append_ms, said, copies)
        except Rejected as exc:
            self._findings.add("audit.other_verdict", case.at, f"accepted, but {exc}", case.id)
            return
        if isinstance(derived, int):
            self._findings.add("audit.other_verdict", case.at, f"accepted, but a duplicate of {derived}", case.id)
            return
        step = event["status"]
        if derived.step is not None and step is not None and (step["moved"], step["state"]) != derived.step:
            sentence = f"moved {step['moved']} to {step['state']:#04x}, not {derived.step.moved} to"
            self._findings.add("audit.altered_step", case.at, f"{sentence} {derived.step.state:#04x}", case.id)
        level = int(self._recount.sender(said.fields["sender"]).level)
        wrong = [
            name
            for name, value in (("sender_level", level), ("certificate", seal or event["certificate"]))
            if event[name] != value
        ]
        if wrong:
            self._findings.add("audit.altered_event", case.at, f"its {', '.join(wrong)}", case.id)
        if self._gate.attachments is not None:
            self._gate.attachments.check(case.at, said)
        self._log.accepted(case.at, case.id, derived)
        self._copies.apply(derived)

    def _duplicate(self, case: Case, said: Said) -> None:
        try:
            derived = self._derive(case, said)
        except Unknown:
            return
        except Rejected as exc:
            self._findings.add("audit.other_verdict", case.at, f"a duplicate, but {exc}", case.id)
            return
        if not isinstance(derived, int):
            if not self._copies.is_complete:
                return
            self._findings.add("audit.other_verdict", case.at, "a duplicate, but nothing like it came before", case.id)
            return
        expected = {**_NOTHING, **_named(said.kind, said.fields, said.digest), "verified": True, "code": ""}
        self._compare(case, {**expected, "accepted_offset": derived})

    def _rejected(self, case: Case) -> str | None:
        event = case.event
        try:
            refusal = self._refusal(case)
        except Unknown:
            return None
        if refusal is None:
            self._findings.add("audit.other_verdict", case.at, f"refused by {event['code']}, for nothing", case.id)
            return None
        if refusal.code != event["code"]:
            sentence = f"refused by {event['code']}, not by {refusal}"
            self._findings.add("audit.other_verdict", case.at, sentence[:500], case.id)
            return None
        statement = refusal.statement
        names = {"kind": "", "sender": "", "id": "", "thread": "", "sha256": None}
        if isinstance(statement, Statement):
            names = _named(statement.kind.name, statement.fields, statement.digest)
        self._compare(case, {**_NOTHING, **names, "verified": refusal.sender is not None})
        return refusal.detail[:500]

    def _refusal(self, case: Case) -> Rejected | None:
        """Why a submission must be refused, by the gate or after it; None if for nothing. Raises: `Unknown`."""
        if self._gate.signatures is None and not _is_behind_the_gate(case.event):
            raise Unknown
        if not self._copies.is_complete and case.event["code"].startswith("duplicate."):
            raise Unknown
        if self._gate.signatures is not None:
            refusal = self._gate.refusal(case, self._recount.view)
            if refusal is not None:
                return refusal
        said = read_statement(case.read.value)
        try:
            derived = self._derive(case, said)
        except Rejected as exc:
            exc.sender = said.fields["sender"]
            exc.statement = Statement(KINDS[said.kind], said.fields, b"", said.digest)
            return exc
        return Rejected("duplicate.other_bytes") if isinstance(derived, int) else None

    def _derive(self, case: Case, said: Said) -> Outcome | int:
        """What must become of a statement that the gate let in: an acceptance, or the offset of its original.

        Raises: Rejected; `Unknown`.
        """
        at, key = case.at, said.thread.encode()
        # 1. It came by its own topic, key and partition.
        if at.topic != said.topic:
            raise Rejected("record.wrong_lane", f"{said.kind} in {at.topic}")
        if case.read.key != key:
            raise Rejected("record.wrong_key", f"expected {key[:120]!r}")
        if at.partition != murmur2(key) % self._copies.partitions:
            raise Rejected("record.wrong_partition", f"{at.partition} of {self._copies.partitions}")
        # 2. The same was not said before.
        earlier = self._copies.earlier(said)
        if earlier is not None:
            if earlier.digest != said.digest:
                raise Rejected("duplicate.other_bytes", f"accepted before at offset {earlier.offset}")
            return earlier.offset
        # 3. Its sender may say it, to whom it names.
        sender = self._recount.sender(said.fields["sender"])
        if said.kind == "status":
            return self._copies.outcome(at, case.append_ms, said, [])
        # 4. What it does to earlier copies.
        return self._copies.outcome(at, case.append_ms, said, self._recount.copies(said, sender))

    def _compare(self, case: Case, expected: Fields) -> None:
        wrong = [name for name, value in expected.items() if case.event[name] != value]
        if wrong:
            self._findings.add("audit.altered_event", case.at, f"its {', '.join(wrong)}", case.id)


def _named(kind: str, fields: Fields, digest: bytes) -> Fields:
    """How an event names a statement that may be hostile."""
    return {
        "kind": kind,
        "sender": _shown(fields["sender"], 35),
        "id": _shown(fields["id"], 64),
        "thread": _shown(KINDS[kind].key(fields), 150),
        "sha256": digest,
    }


def _shown(text: str, most: int) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:most])


_BEHIND = ("record.wrong_", "duplicate.", "sender.", "recipient", "group.", "report.no", "thread.", "document.lane",
           "document.unknown", "document.expired", "recall.", "status.not_a_recipient", "status.illegal",
           "status.no_request", "status.request_open")  # fmt: skip
"""The codes that are given behind the gate begin like this."""
_EITHER = frozenset({"document.lane", "recipients.empty", "recipients.too_many"})
"""Those that a rule of the kind gives, too."""


def _is_behind_the_gate(event: Fields) -> bool:
    return bool(event["verified"]) and event["code"].startswith(_BEHIND) and event["code"] not in _EITHER
