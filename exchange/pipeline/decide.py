"""What the hop decides about a submission, in six steps: open and verify (the gate's verdict comes in here),
place, deduplicate, authorise, route, write down.

Guarantees: pure but for the staged changes of the stores; the same submissions, verdicts, stores and directory
offset give the same records, byte for byte but for the informative clock and worker name. Every submission
gets exactly one event. Nothing unverified is routed, stored or told to anyone. Only acceptance claims an id. What an
operator set aside takes none of the steps: nothing looks into it, since that is what trips the bug.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any

from exchange.agencies.entries import Agency, SettingAside
from exchange.agencies.view import DirectoryView
from exchange.errors import Rejected
from exchange.pipeline.books import OutRecord
from exchange.pipeline.columns import Receipt
from exchange.pipeline.outputs import Accepted, Outputs, Position, Rules
from exchange.pipeline.routing import Copy, Router, day_of
from exchange.pipeline.store import REMEMBER_MS, PartitionStore, claim_key, pack
from exchange.pipeline.submission import Submission, partition_of
from exchange.pipeline.threads import requests, step
from exchange.signatures import Verified
from exchange.statements import Route, Statement
from exchange.statements.chain import UNDELIVERABLE, WAITING
from exchange.statements.status import TAKE_BACK_ASKED

FORGET_AT_MOST = 2_000
"""Claims looked at for forgetting in one transaction and partition: twice what it can claim."""

Verdict = Verified | Rejected
"""What the gate said of a submission."""


Routed = tuple[list[Copy], dict[str, Any] | None, int]
"""The copies, of a status what it did, and when the document that it is about was appended."""


def decision_on(submission: Submission, view: DirectoryView) -> SettingAside | None:
    """The operator's decision to set this submission aside, if there is one about its very bytes."""
    decision = view.setting_aside(submission.topic, submission.partition, submission.offset)
    if decision is None or decision.sha256 != sha256(submission.value).digest():
        return None
    return decision


class Decisions:
    """The decisions of one transaction, by one pinned directory offset (the router's view).

    `positions`: next offset of every input partition owned, before this transaction.
    """

    def __init__(
        self,
        rules: Rules,
        router: Router,
        stores: Mapping[int, PartitionStore],
        positions: Mapping[Position, int],
    ) -> None:
        self._rules = rules
        self._router = router
        self._stores = stores
        self._latest_ms: dict[int, int] = {}
        self.outputs = Outputs(rules, router, positions)

    def decide(self, submission: Submission, verdict: Verdict) -> None:
        """Take one submission to its end: accepted, duplicate or rejected."""
        self._latest_ms[submission.partition] = submission.append_ms
        if isinstance(verdict, Rejected):
            self.outputs.reject(submission, verdict)
            return
        statement = verdict.statement
        try:
            self._settle(submission, verdict)
        except Rejected as rejected:
            rejected.sender, rejected.statement = statement.sender, statement
            self.outputs.reject(submission, rejected)

    def set_aside(self, submission: Submission, decision: SettingAside) -> None:
        """Step past one submission, as an operator decided: evidence and books, and nothing else of it."""
        self._latest_ms[submission.partition] = submission.append_ms
        self.outputs.set_aside(submission, decision)

    def records(self, hop_ms: int) -> list[OutRecord]:
        """Everything to produce; claims that are over leave the stores with it."""
        for partition, append_ms in self._latest_ms.items():
            self._stores[partition].forget(append_ms - REMEMBER_MS, FORGET_AT_MOST)
        return self.outputs.records(self._stores, hop_ms)

    def _settle(self, submission: Submission, verified: Verified) -> None:
        statement = verified.statement
        thread = statement.kind.key(statement.fields)
        self._check_place(submission, statement, thread.encode())
        store = self._stores[submission.partition]
        key = claim_key(thread, statement.sender, statement.id)
        earlier = store.get(key)
        if earlier is not None:
            if earlier.digest != statement.digest:
                raise Rejected("duplicate.other_bytes", f"accepted before at offset {earlier.offset}")
            self.outputs.repeat(submission, statement, earlier.offset)
            return
        on = day_of(submission.append_ms)
        sender = self._router.sender(statement.sender, on)
        copies, status, document_ms = self._route(submission, statement, sender, on, store)
        own = copies if status is None else []  # a status's copies have no state of their own
        states = bytes([WAITING if copy.is_deliverable else UNDELIVERABLE for copy in own])
        ordinals = [copy.ordinal for copy in own]
        packed = pack(statement.digest, submission.offset, submission.append_ms, submission.topic, ordinals, states)
        store.put(key, packed)
        subtree = self._router.subtree(sender)
        accepted = Accepted(copies, subtree, sender.level, verified.seal.certificate.fingerprint)
        if status is not None:
            accepted.status = status
            if status["code"] != TAKE_BACK_ASKED:
                accepted.receipt = Receipt(subtree, sender.level, submission.append_ms - document_ms)
        self.outputs.accept(submission, statement, accepted)

    def _check_place(self, submission: Submission, statement: Statement, key: bytes) -> None:
        """It came by the topic, key and partition that its signed fields ask for."""
        if submission.topic != statement.kind.topic(statement.fields):
            raise Rejected("record.wrong_lane", f"{statement.kind.name} in {submission.topic}")
        if submission.key != key:
            raise Rejected("record.wrong_key", f"expected {key[:120]!r}")
        if submission.partition != partition_of(key, self._rules.partitions):
            raise Rejected("record.wrong_partition", f"{submission.partition} of {self._rules.partitions}")

    def _route(
        self, submission: Submission, statement: Statement, sender: Agency, on: date, store: PartitionStore
    ) -> Routed:
        """Authorise the statement and find who gets it."""
        kind, fields = statement.kind, statement.fields
        if kind.route is Route.COPY:
            return self._follow(submission, statement, on, store)
        if kind.route is Route.SUPERIOR:
            named = kind.addressees(fields)
            return [self._router.superior(named[0] if named else None, sender, on)], None, 0
        copies = self._router.copies(kind.addressees(fields), sender, on)
        if fields.get("thread") is not None:
            for move in requests(store, statement, copies, submission.topic):
                store.move(*move)
        return copies, None, 0

    def _follow(self, submission: Submission, statement: Statement, on: date, store: PartitionStore) -> Routed:
        """A status: find the copy it is about, move it, tell the other side."""
        fields = statement.fields
        recipient = self._router.view.agency(fields["recipient"])
        if recipient is None or recipient.code != fields["recipient"]:
            raise Rejected("status.not_a_recipient", fields["recipient"][:40])
        ordinal = self._router.view.ordinal(recipient.code)
        taken = step(store, fields, ordinal, submission.append_ms)
        copies = [self._router.copy_to(taken.tell, on)]
        if taken.moved:
            store.move(*taken.move)
        status = {
            "document_sender": fields["document"]["sender"],
            "document_id": fields["document"]["id"],
            "recipient": fields["recipient"],
            "code": fields["code"],
            "moved": taken.moved,
            "state": taken.move.state,
            "reason": fields["reason"],
        }
        return copies, status, taken.document_ms
