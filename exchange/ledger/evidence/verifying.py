"""Verifying an evidence file, offline: a numbered checklist, from the archive to the page.

Guarantees: a file whose every step is good holds a statement of the sender, taken in by the exchange at the time that
its ledger says, with every event and receipt in the file under the ledger's signed root; and every byte of the file
belongs to that. It needs the file, a root certificate and the ledger's key, nothing else. All that is trusted is asked
for its term at the time of the first time-stamp, or, without any, now; `Verdict.reservations` says what is left open.

Does not: show that nothing else happened (the file holds what was exported), nor that a leader was in office and the
certificates were listed on that day (the acceptance event is the exchange's word for that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from exchange.errors import Rejected, Unavailable
from exchange.ledger.checkpoint import cosignatures, parse_text
from exchange.ledger.evidence import contents
from exchange.ledger.evidence.anchors import Anchors
from exchange.ledger.evidence.archive import unpack
from exchange.ledger.evidence.assembling import whole
from exchange.ledger.evidence.listed import Listed
from exchange.ledger.evidence.promised import check_promised
from exchange.ledger.evidence.stamped import SKEW_MS_MAX, Chain, check_chain
from exchange.ledger.evidence.story import Story, Told, read_story
from exchange.ledger.leaves import salted
from exchange.ledger.notes import open_note
from exchange.ledger.tree import check_inclusion
from exchange.signatures import Trust, Verified, admit, decode_record
from exchange.signatures.merkle import leaf_hash
from exchange.statements import Fields

GOOD, FAILED, NOT_REACHED = "good", "failed", "not_reached"
PROVISIONAL = "revocation.provisional"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the checklist. `code`: of what failed; `note`: what was found."""

    number: int
    name: str
    state: str
    code: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checklist. `story`: None if the file couldn't even be read.

    `reservations`: what is left open although every step is good: ``stamp.none`` (no time-stamp, so all was judged as
    of now), ``revocation.provisional`` (no revocation list is newer than what was signed), ``certificate.ended`` (a
    signer's certificate had ended before the time-stamp: that it was in time rests on the exchange's word alone).
    `renew_by_ms`: until when the last time-stamp can be relied on; None without one.
    """

    steps: tuple[Step, ...]
    story: Story | None
    reservations: tuple[str, ...] = ()
    renew_by_ms: int | None = None

    @property
    def holds(self) -> bool:
        """Whether every step is good."""
        return all(step.state == GOOD for step in self.steps)

    def require(self) -> Story:
        """The story; Rejected with the code of the step that failed."""
        for step in self.steps:
            if step.state == FAILED:
                raise Rejected(step.code, f"step {step.number}, {step.name}: {step.note}")
        if self.story is None:
            raise Rejected("evidence.malformed")
        return self.story


@dataclass(slots=True)
class _Case:
    """A file under verification; each step adds what the next ones need."""

    data: bytes
    anchors: Anchors
    now_ms: int
    at_ms: int
    chain: Chain | None = None
    reservations: dict[str, None] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    story: Story | None = None
    trust: Trust | None = None
    listed: Listed | None = None

    @property
    def told(self) -> Story:
        if self.story is None:
            raise Rejected("evidence.malformed", "no story")
        return self.story

    @property
    def trusted(self) -> tuple[Trust, Listed]:
        if self.trust is None or self.listed is None:
            raise Rejected("evidence.malformed", "no certificates")
        return self.trust, self.listed


def moment(ms: int) -> datetime:
    """A time, in UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC)


def verify(data: bytes, anchors: Anchors, now_ms: int) -> Verdict:
    """Go through the checklist until a step fails; any bytes give a verdict. `now_ms`: ms since 1970 UTC."""
    case, steps, failed = _Case(data, anchors, now_ms, now_ms), list[Step](), False
    for number, (name, check) in enumerate(CHECKLIST, 1):
        if failed:
            steps.append(Step(number, name, NOT_REACHED))
            continue
        try:
            steps.append(Step(number, name, GOOD, note=check(case)))
        except (Rejected, Unavailable) as exc:
            steps.append(Step(number, name, FAILED, exc.code, exc.detail))
            failed = True
    return Verdict(tuple(steps), case.story, tuple(case.reservations), case.chain.ends_ms if case.chain else None)


def _check_archive(case: _Case) -> str:
    """1. The archive is as `pack` writes it, within its limits."""
    case.parts = unpack(case.data)
    return f"{len(case.parts)} parts, {len(case.data):,} bytes"


def _check_parts(case: _Case) -> str:
    """2. The manifest is of this format and lists exactly these parts, with their digests."""
    found = contents.read_manifest(case.parts.get(contents.MANIFEST, b""))
    others = {name: data for name, data in case.parts.items() if name != contents.MANIFEST}
    listed = found["parts"]
    if not isinstance(listed, list) or [one.get("name") for one in listed if isinstance(one, dict)] != list(others):
        raise Rejected("evidence.part_missing", "the manifest lists other parts")
    for one, (name, data) in zip(listed, others.items(), strict=True):
        if one != {"name": name, "bytes": len(data), "sha256": sha256(data).hexdigest()}:
            raise Rejected("evidence.part_differs", name)
    case.story = read_story(case.parts)
    return f"version {contents.VERSION}"


def _check_stamps(case: _Case) -> str:
    """3. Each time-stamp covers all before it, and held until the next; the first says since when the ledger has the
    checkpoint (RFC 3161, RFC 4998 §5.3)."""
    chain = case.chain = check_chain(case.parts, list(case.told.stamps), case.anchors, case.now_ms)
    if chain is None:
        case.reservations["stamp.none"] = None
        return "none: judged as of now"
    case.at_ms = chain.stamps[0].time_ms
    return ", ".join(f"{moment(one.time_ms):%Y-%m-%d %H:%M:%S} UTC by {one.authority}" for one in chain.stamps)


def _check_checkpoint(case: _Case) -> str:
    """4. A ledger's own key signed the checkpoint (C2SP tlog-checkpoint), and was trusted at that time."""
    note, origin = case.parts[contents.CHECKPOINT], case.told.checkpoint.origin
    keys = [one for one in case.anchors.ledgers if one.key.name == origin] or list(case.anchors.ledgers)
    text = open_note(note, [one.key for one in keys])
    current = [one.key for one in keys if one.term.covers(case.at_ms)]
    if not current:
        raise Rejected("trust.not_current", f"{origin} isn't trusted at the time that counts"[:200])
    open_note(note, current)
    found = parse_text(text)
    if found.origin != current[0].name:
        raise Rejected("checkpoint.other_origin", f"{found.origin}, not {current[0].name}"[:200])
    return f"{found.origin}, {found.size:,} events"


def _check_witnesses(case: _Case) -> str:
    """5. As many witnesses as are asked for cosigned it (C2SP tlog-cosignature)."""
    asked = case.anchors.witnesses_at(case.at_ms)
    found = {one.witness for one in cosignatures(case.parts[contents.CHECKPOINT], asked)}
    if len(found) < case.anchors.witnesses_needed:
        missing = {one.key.name for one in case.anchors.witnesses} - found
        raise Rejected("checkpoint.not_witnessed", ", ".join(sorted(missing))[:200])
    return ", ".join(sorted(found)) or "none asked for"


def _check_events(case: _Case) -> str:
    """6. Every event stands in the tree under that root (RFC 9162 §2.1.3.2), and none is later than its stamp."""
    checkpoint = case.told.checkpoint
    for told in case.told.events:
        proof = told.proof
        leaf = leaf_hash(salted(proof.salt, proof.leaf))
        check_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
        if told.event["append_ms"] > case.at_ms + SKEW_MS_MAX:
            raise Rejected("stamp.before_event", f"event {proof.index} is later than the time that counts")
    return f"{len(case.told.events):,} events"


def _check_acceptance(case: _Case) -> str:
    """7. The acceptance is of this very statement, by these names."""
    story, statement = case.told, case.told.statement
    event = story.accepted.event
    if story.record["statement"] != statement.raw:
        raise Rejected("evidence.other_statement", "the record holds another statement")
    said = (statement.kind.name, statement.sender, statement.id, statement.kind.key(statement.fields))
    if said != (event["kind"], event["sender"], event["id"], event["thread"]) or event["status"] is not None:
        raise Rejected("evidence.other_statement", "the acceptance names another one")
    return f"taken in at {event['append_ms']} ms"


def _check_certificates(case: _Case) -> str:
    """8. Every signer's certificate chains to a root, is valid and unrevoked at that time (RFC 5280 §6)."""
    story = case.told
    case.listed = Listed(story.certificates, story.lists)
    case.trust = Trust(case.listed, case.anchors.roots_at(case.at_ms))
    _check_signers(case, story.record, story.accepted)
    if PROVISIONAL in case.reservations:
        return "revocation provisional: no list is newer than the acceptance"
    return "unrevoked, by a list newer than the acceptance"


def _check_signers(case: _Case, record: Fields, told: Told) -> None:
    """All signers of a record at its event's time; notes what that leaves open."""
    trust, listed = case.trusted
    at_ms = told.event["append_ms"]
    for signature in record["signatures"]:
        certificate = trust.signer(signature["certificate"], at_ms).certificate
        if listed.list_ms_of(certificate.issuer) < at_ms:
            case.reservations[PROVISIONAL] = None
        if certificate.not_after_ms < case.at_ms:
            case.reservations["certificate.ended"] = None


def _check_signature(case: _Case) -> str:
    """9. The signatures verify over the statement, by the sender's seal and the leader it asks for: the gate."""
    story = case.told
    verified = _admit(case, story.record_bytes, story.accepted)
    seal = verified.seal
    by = {
        "connector": f"sealed by a connector of {seal.agency}",
        "delegate": f"sealed by {seal.certificate.delegate} for {seal.agency}",
    }.get(seal.role, f"sealed by agency {seal.agency}")
    return ", ".join([by, *(f"signed by leader {leader.leader}" for leader in verified.leaders)])


def _check_receipts(case: _Case) -> str:
    """10. Every receipt is a signed status about this document, and its event is the one named."""
    story = case.told
    about = (story.statement.sender, story.statement.id)
    events = {told.proof.index for told in story.events if _is_status_about(told, about)}
    if events != {one.index for one, _ in story.said}:
        raise Rejected("receipt.missing", "the accepted statuses and the signed ones aren't the same")
    parties = {*story.recipients, story.statement.sender}
    for said, told in story.said:
        statement = _admit(case, said.record, told).statement
        fields = statement.fields
        if statement.kind.name != "status" or (fields["document"]["sender"], fields["document"]["id"]) != about:
            raise Rejected("receipt.other_document", f"event {said.index}")
        if statement.sender not in parties:
            raise Rejected("receipt.not_a_party", f"event {said.index}: {statement.sender}"[:200])
    return f"{len(story.said):,} signed"


def _check_promises(case: _Case) -> str:
    """11. What the backbone promised of the acceptance, and of deadlines, is its own word and about this one."""
    trust, _ = case.trusted
    return check_promised(case.told, trust)


def _check_rest(case: _Case) -> str:
    """12. Page, guide, signature files and manifest say what the proving parts say, byte for byte."""
    made = whole(case.parts, case.told)
    for name in {**made, **case.parts}:
        if made.get(name) != case.parts.get(name):
            raise Rejected("evidence.part_differs", f"{name} isn't what the proving parts give")
    return "as made from the proving parts"


def _admit(case: _Case, record: bytes, told: Told) -> Verified:
    """The gate, at the time of the event; and the event is of this record."""
    trust, _ = case.trusted
    event = told.event
    _check_signers(case, decode_record(record), told)
    verified = admit(record, event["append_ms"], trust, storage_keys=None)
    if event["outcome"] != "accepted" or event["sha256"] != verified.statement.digest:
        raise Rejected("evidence.other_statement", f"event {told.proof.index} is about another statement")
    if event["certificate"] != verified.seal.certificate.fingerprint:
        raise Rejected("evidence.other_signer", f"event {told.proof.index} names another certificate")
    return verified


def _is_status_about(told: Told, about: tuple[str, str]) -> bool:
    status = told.event["status"]
    return (
        told.event["outcome"] == "accepted"
        and status is not None
        and (status["document_sender"], status["document_id"]) == about
    )


CHECKLIST: Sequence[tuple[str, Callable[[_Case], str]]] = (
    ("archive", _check_archive),
    ("parts", _check_parts),
    ("stamps", _check_stamps),
    ("checkpoint", _check_checkpoint),
    ("witnesses", _check_witnesses),
    ("events", _check_events),
    ("acceptance", _check_acceptance),
    ("certificates", _check_certificates),
    ("signature", _check_signature),
    ("receipts", _check_receipts),
    ("promises", _check_promises),
    ("rest", _check_rest),
)
"""The steps, in order."""
