"""One event against its submission: what the hop says became of it, and what must have.

Guarantees: every outcome is checked against the submission's bytes, the evidence (dead letters, claims) and the
directory as of the event. Text of unverified submissions is not judged: nobody is bound by it. A submission is set
aside if and only if the registrar's decision about its very bytes stands in that directory.
"""

from __future__ import annotations

from hashlib import sha256

from exchange.agencies import SettingAside
from exchange.auditor.acceptance import check_accepted
from exchange.auditor.books import Coordinates
from exchange.auditor.deltas import Cells
from exchange.auditor.said import read_statement
from exchange.auditor.scope import Case, Scope, expect_notice
from exchange.errors import Rejected

_SET_ASIDE = "record.set_aside"


def check(scope: Scope, case: Case) -> Cells:
    """Check an event by its outcome, and count the submission."""
    outcome = case.event["outcome"]
    scope.recount.at(case.directory_offset, case.append_ms)
    decision = _decision(scope, case)
    if decision is not None and outcome != "set_aside":
        scope.findings.add("audit.decision_ignored", case.at, f"{outcome}, though {decision.by} decided so", case.id)
    detail = None if scope.deeper is None or decision is not None else scope.deeper.check(case)
    if outcome == "accepted":
        return check_accepted(scope, case)
    scope.tally.record(case.at.topic, case.at.partition, case.event["kind"], outcome)
    minute = case.append_ms // 60_000
    cells: Cells = [((minute, case.event["kind"], outcome, case.event["code"], 0, 0, 0), (1, 0, 0))]
    if outcome == "duplicate":
        _duplicate(scope, case)
    elif outcome == "rejected":
        _rejected(scope, case, detail)
        sender = scope.recount.known(case.event["sender"]) if case.event["verified"] else None
        if sender is not None:
            cells.append((("refused", minute, scope.recount.path(sender.code)), (1,)))
    elif outcome == "set_aside":
        _set_aside(scope, case, decision)
    return cells


def _duplicate(scope: Scope, case: Case) -> None:
    event, at = case.event, case.at
    original = event["accepted_offset"]
    try:
        said = read_statement(case.read.value)
    except Rejected as exc:
        scope.findings.add("audit.altered_event", at, f"a duplicate that says nothing: {exc}", case.id)
        return
    stated: tuple[object, ...] = (said.kind, said.fields["sender"], said.fields["id"], said.digest, True, [])
    if stated != tuple(event[n] for n in ("kind", "sender", "id", "sha256", "verified", "deliveries")):
        scope.findings.add("audit.altered_event", at, "a duplicate has its statement's fields and no copies", case.id)
    if Coordinates(at.topic, at.partition, original) in scope.findings.doubted:
        return
    if original >= 0 and not scope.cut.covers(at.topic, at.partition, original):
        return
    if not (original < at.offset and scope.claims.is_original(at.topic, original, said.key, said.digest)):
        scope.findings.add("audit.duplicate_without_original", at, f"nothing of it at offset {original}", case.id)


def _rejected(scope: Scope, case: Case, detail: str | None) -> None:
    """A dead letter with the original bytes, and a notice if and only if a sender's signature had verified."""
    event, at, read = case.event, case.at, case.read
    sender: str | None = event["sender"] if event["verified"] else None
    _kept(scope, case, sender, detail)
    if event["deliveries"] or not event["code"]:
        scope.findings.add("audit.altered_event", at, "a rejection has a code and no copies", case.id)
    if sender is None:
        return
    try:
        said = read_statement(read.value)
    except Rejected as exc:
        scope.findings.add("audit.altered_event", at, f"verified, though it says nothing: {exc}", case.id)
        return
    if (said.fields["sender"], said.digest) != (sender, event["sha256"]):
        scope.findings.add("audit.altered_event", at, "sender or digest isn't the statement's", case.id)
        return
    expect_notice(scope, case, said, event["code"], [])


def _decision(scope: Scope, case: Case) -> SettingAside | None:
    """The operator's decision about these bytes in the directory as of the event, if there is one."""
    found = scope.recount.setting_aside(case.at)
    return found if found is not None and found.sha256 == sha256(case.read.value).digest() else None


def _set_aside(scope: Scope, case: Case, decision: SettingAside | None) -> None:
    """A decision that the event repeats, and a dead letter; nobody is told, nothing is delivered."""
    event, at = case.event, case.at
    _kept(scope, case, None, None if decision is None else f"{decision.by}: {decision.reason}"[:500])
    if decision is None:
        sentence = f"the directory below {case.directory_offset} has none about these bytes"
        scope.findings.add("audit.set_aside_without_decision", at, sentence, case.id)
        return
    stated: dict[str, object] = {
        "code": _SET_ASIDE,
        "kind": decision.kind,
        "sender": decision.sender,
        "id": decision.id,
        "thread": decision.thread,
        "verified": False,
        "sender_level": 0,
        "accepted_offset": -1,
        "deliveries": [],
        **dict.fromkeys(("sha256", "certificate", "summary", "status")),
    }
    wrong = [name for name, value in stated.items() if event[name] != value]
    if wrong:
        scope.findings.add("audit.altered_event", at, f"its {', '.join(wrong)}, by the decision", case.id)


def _kept(scope: Scope, case: Case, sender: str | None, detail: str | None) -> None:
    """There is one dead letter, with the original bytes. `sender`: whose signature had verified; `detail`: if known."""
    at, read, code = case.at, case.read, case.event["code"]
    column = scope.dead_letters[at.topic]
    match = column.take(at.offset, hash((read.key, read.value, case.append_ms, case.directory_offset, code)))
    if match is not None:
        scope.tally.dead_letters += 1
        kept_sender, kept_detail = column.payloads[match.place]
        if kept_sender != sender:
            scope.findings.add("audit.altered_dead_letter", at, "its sender isn't the event's", case.id)
        if detail not in (None, kept_detail):
            scope.findings.add("audit.altered_dead_letter", at, "its detail isn't what was said", case.id)
    elif others := [index for index in column.at(at.offset) if not column.taken[index]]:
        column.tick(others[0])
        scope.findings.add("audit.altered_dead_letter", at, "key, bytes, code, time or offset differ", case.id)
    else:
        scope.findings.add("audit.missing_dead_letter", at, code, case.id)
