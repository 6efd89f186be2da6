"""An accepted statement: what its event must say, and what the inboxes, the store and the deltas must hold of it.

Guarantees: everything is derived from the submission's bytes and the directory as of the event. The state of a
copy after a status (``moved``, ``state``) isn't derived again.
"""

from __future__ import annotations

from hashlib import sha256
from operator import itemgetter

from exchange.auditor.deltas import UNKNOWN, Cells
from exchange.auditor.inboxes import content_of
from exchange.auditor.recount import TAKE_BACK_ASKED, UNDELIVERABLE, Copy, by_inbox, murmur2
from exchange.auditor.said import Said, claim_key, read_statement
from exchange.auditor.scope import Case, Scope, expect_notice
from exchange.errors import Rejected
from exchange.statements import Fields

WAIT_MS_MAX = 2**32 - 1
"""The longest that a delta says a receipt took."""

_STATED = ("code", "kind", "sender", "verified", "id", "thread", "sha256", "accepted_offset", "summary")
_STEP = ("document_sender", "document_id", "recipient", "code", "reason")
_stated_in = itemgetter(*_STATED)
_step_in = itemgetter(*_STEP)
_copy_in = itemgetter(*Copy._fields)


def check_accepted(scope: Scope, case: Case) -> Cells:
    """Check the event, expect what it led to, and return what to recount."""
    at = case.at
    try:
        said = read_statement(case.read.value)
        sender = scope.recount.sender(said.fields["sender"])
        copies = scope.recount.copies(said, sender)
        _check_place(scope, case, said)
    except Rejected as exc:
        scope.tally.record(at.topic, at.partition, case.event["kind"], "accepted")
        scope.findings.add("audit.wrongly_accepted", at, str(exc), case.id)
        scope.findings.doubt(at)
        return []
    scope.tally.record(at.topic, at.partition, said.kind, "accepted")
    _compare(scope, case, said, copies)
    key = said.key
    scope.claims.accept(at, key, said.digest, case.id)
    level = int(sender.level)
    _expect(scope, case, said, copies, level, key)
    unreached = [copy.recipient for copy in copies if copy.partition == UNDELIVERABLE]
    if unreached:
        expect_notice(scope, case, said, "recipient.closed", unreached)
    return _count(scope, case, said, copies, level) + _columns(scope, case, said, copies, level)


def _check_place(scope: Scope, case: Case, said: Said) -> None:
    thread = said.thread.encode()
    partition = murmur2(thread) % scope.cut.partitions
    if case.at.topic != said.topic or case.read.key != thread or case.at.partition != partition:
        raise Rejected("record.misplaced", f"it belongs in {said.topic}/{partition} under {said.thread[:120]!r}")


def _compare(scope: Scope, case: Case, said: Said, copies: list[Copy]) -> None:
    """The event says of an accepted statement what the statement says."""
    event, fields = case.event, said.fields
    summary = _summary(fields) if said.kind == "document" else None
    sender, statement_id = fields["sender"], fields["id"]
    stated = ("", said.kind, sender, True, statement_id, said.thread, said.digest, -1, summary)
    if _stated_in(event) != stated or not _is_step(event["status"], said):
        wrong = [name for name, value in zip(_STATED, stated, strict=True) if event[name] != value]
        scope.findings.add("audit.altered_event", case.at, f"its {', '.join(wrong or ['status'])}", statement_id)
    found = [_copy_in(copy) for copy in event["deliveries"]]
    if found != copies:
        _compare_copies(scope, case, [Copy(*one) for one in found], copies)


def _compare_copies(scope: Scope, case: Case, found: list[Copy], copies: list[Copy]) -> None:
    expected = {copy.recipient: copy for copy in copies}
    for copy in found:
        meant = expected.pop(copy.recipient, None)
        if meant is None:
            scope.findings.add("audit.surplus_copy", case.at, copy.recipient, case.id)
        elif meant != copy:
            scope.findings.add("audit.altered_copy", case.at, f"{tuple(copy)}, not {tuple(meant)}", case.id)
    for recipient in expected:
        scope.findings.add("audit.missing_copy", case.at, recipient, case.id)


def _summary(fields: Fields) -> Fields:
    return {
        "business": fields["business"],
        "code": f"{fields['code_number']}/{fields['code_notation']}",
        "type": fields["type"],
        "subject": fields["subject"],
        "issued": fields["issued"],
        "urgency": fields["urgency"],
        "due": fields["due"],
        "attachments": len(fields["attachments"]),
        "bytes": sum(attachment["size"] for attachment in fields["attachments"]),
    }


def _is_step(step: Fields | None, said: Said) -> bool:
    """Whether the event's step repeats the status; the state after it isn't derived again."""
    if said.kind != "status" or step is None:
        return (said.kind == "status") == (step is not None)
    fields = said.fields
    document = fields["document"]
    stated = (document["sender"], document["id"], fields["recipient"], fields["code"], fields["reason"])
    return bool(stated == _step_in(step))


def _expect(scope: Scope, case: Case, said: Said, copies: list[Copy], sender_level: int, key: bytes) -> None:
    """Expect the deliveries; a status is a receipt for the copy that it is about."""
    read = case.read
    bytes_digest = sha256(read.value).digest()
    group = (said.kind, sender_level)
    for inbox, recipients in by_inbox(copies).items():
        content = content_of(read.key, recipients, said.digest, case.append_ms, case.directory_offset, bytes_digest)
        scope.inboxes.expect(inbox, case.at, content, recipients, group)
    if said.kind != "status":
        for copy in copies:
            if copy.partition != UNDELIVERABLE:
                cell = (case.at.topic, case.at.partition, said.kind, sender_level, copy.level)
                scope.receipts.deliver(cell, key, copy.recipient)
    elif said.fields["code"] != TAKE_BACK_ASKED:
        document = said.fields["document"]
        about = claim_key(said.thread, document["sender"], document["id"])
        scope.receipts.sign(case.at.offset, about, said.fields["recipient"])


def _count(scope: Scope, case: Case, said: Said, copies: list[Copy], sender_level: int) -> Cells:
    """Count the copies, and return the cells of the throughput: the total's, and each level's."""
    reached: dict[int, int] = {}
    closed: dict[int, int] = {}
    for copy in copies:
        counts = closed if copy.partition == UNDELIVERABLE else reached
        counts[copy.level] = counts.get(copy.level, 0) + 1
    size = sum(attachment["size"] for attachment in said.fields.get("attachments", ()))
    head = (case.append_ms // 60_000, said.kind, "accepted", "", said.fields.get("urgency", 0), sender_level)
    cells: Cells = [((*head, 0), (1, sum(reached.values()), size))]
    for level, count in reached.items():
        cells.append(((*head, level), (1, count, size)))
        scope.tally.derived((case.at.topic, case.at.partition, said.kind, sender_level, level), count)
    for level, count in closed.items():
        cell = (case.at.topic, case.at.partition, said.kind, sender_level, level)
        scope.tally.derived(cell, count, undeliverable=count)
    return cells


def _columns(scope: Scope, case: Case, said: Said, copies: list[Copy], sender_level: int) -> Cells:
    """The entries of the delta's columns: when it was appended; who sent and got it, or who signed, and how late."""
    minute, at_ms = divmod(case.append_ms, 60_000)
    path = scope.recount.path(said.fields["sender"])
    entries: Cells = [(("appended", minute, at_ms), (1,))]
    if said.kind != "status":
        entries.append((("senders", minute, path), (1,)))
        reached = [scope.recount.path(copy.recipient) for copy in copies if copy.partition != UNDELIVERABLE]
        entries += [(("recipients", minute, below), (1,)) for below in reached]
    elif said.fields["code"] != TAKE_BACK_ASKED:
        document = said.fields["document"]
        about = claim_key(said.thread, document["sender"], document["id"])
        document_ms = scope.claims.append_ms(about, case.append_ms)
        entries.append((("signers", minute, path), (1,)))
        if document_ms is None:
            entries.append((UNKNOWN, (1,)))
        else:
            wait_ms = min(max(case.append_ms - document_ms, 0), WAIT_MS_MAX)
            entries.append((("waits", minute, (sender_level, wait_ms)), (1,)))
    return entries
