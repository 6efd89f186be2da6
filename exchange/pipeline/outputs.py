"""What a transaction writes: inbox records, notices and dead letters as they arise, then the books.

Guarantees: everything that a submission leads to is in the same list, so it commits or aborts together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from exchange.agencies.entries import SettingAside
from exchange.errors import Rejected
from exchange.pipeline.books import OutRecord, PartitionBooks
from exchange.pipeline.columns import Receipt
from exchange.pipeline.events import deliveries, event, summary
from exchange.pipeline.notices import Notary, notice
from exchange.pipeline.routing import INBOX_TOPICS, Copy, Router, by_inbox, day_of
from exchange.pipeline.store import PartitionStore
from exchange.pipeline.submission import Submission
from exchange.statements import SUBMISSION_TOPICS, Statement, schema

DEAD_LETTERS = "dead-letters"
CHANGELOG = "store"

SET_ASIDE = "record.set_aside"
"""The code of what an operator set aside."""

_DELIVERY, _DEAD_LETTER, _CHANGELOG = schema("delivery"), schema("dead_letter"), schema("changelog")

Position = tuple[str, int]
"""(topic, partition)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for every batch of a deployment.

    `partitions`: of every keyed topic; `inbox_partitions`: of every inbox topic; `backbone`: the agency code
    that notices come from; `worker`: a name for the trace.
    """

    partitions: int
    inbox_partitions: int
    backbone: str
    notary: Notary
    worker: str


@dataclass(slots=True)
class Accepted:
    """What acceptance means: who gets it, in which subtree, at which level and under which seal its sender spoke.

    `certificate`: SHA-256 of the seal's. `status`: what a status did to the copy it is about. `receipt`: what a status
    is, unless its document's sender says it.
    """

    copies: list[Copy]
    subtree: str
    sender_level: int
    certificate: bytes
    status: dict[str, Any] | None = None
    receipt: Receipt | None = None


class Outputs:
    """The records of one transaction. `size_bytes`: of the values so far, to bound the transaction by.
    `refused`: verified sender and code of each rejection."""

    def __init__(self, rules: Rules, router: Router, positions: Mapping[Position, int]) -> None:
        self._rules = rules
        self._router = router
        self._positions = positions
        self._books: dict[Position, PartitionBooks] = {}
        self._records: list[OutRecord] = []
        self.size_bytes = 0
        self.refused: list[tuple[str, str]] = []

    def accept(self, submission: Submission, statement: Statement, accepted: Accepted) -> None:
        """Deliver to every inbox, tell the sender of closed recipients, write it down."""
        copies = accepted.copies
        key = submission.key or b""
        for (level, partition), recipients in by_inbox(copies).items():
            value = self._delivery(submission, recipients, statement.digest, submission.value)
            self._add(OutRecord(INBOX_TOPICS[level], partition, key, value, submission.traceparent))
        closed = [copy.recipient for copy in copies if not copy.is_deliverable]
        if closed:
            self._tell(submission, statement, "recipient.closed", closed)
        written = event(submission, "accepted", statement, verified=True)
        attachments = statement.kind.attachments(statement.fields)
        written["sender_level"] = accepted.sender_level
        written["certificate"] = accepted.certificate
        written["status"] = accepted.status
        written["deliveries"] = deliveries(copies)
        if statement.kind.name == "document":
            written["summary"] = summary(statement.fields, attachments)
        books = self._enter(submission, written)
        head = (statement.kind.name, statement.fields.get("urgency", 0), accepted.sender_level)
        said = accepted.subtree if accepted.status is None else accepted.receipt
        size = sum(attachment.size for attachment in attachments)
        books.count_accepted(submission.append_ms, head, said, copies, size)

    def repeat(self, submission: Submission, statement: Statement, accepted_offset: int) -> None:
        """Write down a duplicate: no second delivery."""
        written = event(submission, "duplicate", statement, verified=True)
        written["accepted_offset"] = accepted_offset
        books = self._enter(submission, written)
        books.count_other(submission.append_ms, statement.kind.name, "duplicate", "")

    def reject(self, submission: Submission, rejected: Rejected) -> None:
        """Keep it as evidence; tell the sender if its signature has verified."""
        statement = rejected.statement if isinstance(rejected.statement, Statement) else None
        self._keep(submission, rejected.code, rejected.detail, rejected.sender)
        verified = rejected.sender is not None
        written = event(submission, "rejected", statement, verified=verified, code=rejected.code)
        kind = statement.kind.name if statement is not None else ""
        books = self._enter(submission, written)
        sender = None if rejected.sender is None else self._router.view.agency(rejected.sender)
        subtree = None if sender is None else self._router.subtree(sender)
        books.count_other(submission.append_ms, kind, "rejected", rejected.code, subtree)
        if verified and statement is not None:
            self.refused.append((statement.sender, rejected.code))
            self._tell(submission, statement, rejected.code, [])

    def set_aside(self, submission: Submission, decision: SettingAside) -> None:
        """Keep it as evidence; nobody is told, for nobody has verified whose it is.

        The event says what the decision says that the record claims to be.
        """
        self._keep(submission, SET_ASIDE, f"{decision.by}: {decision.reason}", None)
        written = event(submission, "set_aside", None, verified=False, code=SET_ASIDE)
        for name in ("kind", "sender", "id", "thread"):
            written[name] = getattr(decision, name)
        books = self._enter(submission, written)
        books.count_other(submission.append_ms, decision.kind, "set_aside", SET_ASIDE)

    def next_offsets(self) -> dict[Position, int]:
        """The offset after the last submission written down, of each source partition touched."""
        return {position: books.next_offset for position, books in self._books.items()}

    def counts(self) -> Counter[tuple[str, str, str]]:
        """How many submissions were written down so far, by kind, outcome and code."""
        counts = Counter[tuple[str, str, str]]()
        for books in self._books.values():
            for (_, kind, outcome, code, _, _, recipient_level), sums in books.all_cells().items():
                if recipient_level == 0:
                    counts[kind, outcome, code] += sums[0]
        return counts

    def oldest(self) -> Iterator[tuple[str, int, int]]:
        """Of each source partition: its topic, its first submission's append time, how many they are."""
        for (topic, _), books in self._books.items():
            yield topic, books.events[0]["append_ms"], len(books.events)

    def events(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """What was written down so far: source topic, partition, event."""
        for (topic, partition), books in self._books.items():
            for one in books.events:
                yield topic, partition, one

    def records(self, stores: Mapping[int, PartitionStore], hop_ms: int) -> list[OutRecord]:
        """Everything to produce: inboxes, notices and dead letters, then trace, deltas and changelog."""
        offset, worker = self._router.view.offset, self._rules.worker
        records = list(self._records)
        for books in self._books.values():
            records.extend(books.records(offset, hop_ms, worker))
        touched = sorted({partition for _, partition in self._books})
        records.extend(self._changelog(partition, stores[partition]) for partition in touched)
        return records

    def _keep(self, submission: Submission, code: str, detail: str, sender: str | None) -> None:
        """Write the dead letter, with the original bytes. `sender`: once its signature has verified."""
        fields = self._coordinates(submission) | {
            "code": code,
            "detail": detail[:500],
            "sender": sender,
            "key": submission.key,
            "value": submission.value,
        }
        key, value = submission.place.encode(), _DEAD_LETTER.encode(fields)
        self._add(OutRecord(DEAD_LETTERS, submission.partition, key, value, submission.traceparent))

    def _tell(self, submission: Submission, statement: Statement, code: str, recipients: list[str]) -> None:
        """Put a signed notice into the inbox of the statement's verified sender, if it still has one."""
        try:
            copy = self._router.copy_to(statement.sender, day_of(submission.append_ms))
        except Rejected:
            return  # not in the directory: there is no inbox; the dead letter and the event stay
        if not copy.is_deliverable:
            return
        told = notice(submission, statement, self._rules.backbone, code=code, recipients=recipients)
        digest = sha256(told).digest()
        value = self._delivery(submission, [copy.recipient], digest, self._rules.notary(told))
        self._add(OutRecord(INBOX_TOPICS[copy.level], copy.partition, submission.key or b"", value))

    def _delivery(self, submission: Submission, recipients: list[str], digest: bytes, record: bytes) -> bytes:
        fields = self._coordinates(submission)
        fields["recipients"] = recipients
        fields["sha256"] = digest
        fields["record"] = record
        return _DELIVERY.encode(fields)

    def _coordinates(self, submission: Submission) -> dict[str, Any]:
        return {
            "topic": submission.topic,
            "partition": submission.partition,
            "offset": submission.offset,
            "append_ms": submission.append_ms,
            "directory_offset": self._router.view.offset,
        }

    def _enter(self, submission: Submission, written: dict[str, Any]) -> PartitionBooks:
        position = (submission.topic, submission.partition)
        books = self._books.get(position)
        if books is None:
            before = self._positions[position]
            books = self._books[position] = PartitionBooks(*position, before, before)
        books.enter(submission, written)
        return books

    def _add(self, record: OutRecord) -> None:
        self._records.append(record)
        self.size_bytes += len(record.value)

    def _changelog(self, partition: int, store: PartitionStore) -> OutRecord:
        carried = store.carry()
        puts, moves, forgets = store.changes
        after = self.next_offsets()
        fields = {
            "partition": partition,
            "covers": [
                {
                    "topic": topic,
                    "next_offset": after.get((topic, partition), self._positions[topic, partition]),
                }
                for topic in SUBMISSION_TOPICS
            ],
            "claims": store.claims_after,
            "carried": [{"key": key, "value": value} for key, value in carried],
            "puts": [{"key": key, "value": value} for key, value in puts],
            "moves": [{"key": key, "index": place, "state": state} for key, place, state in moves],
            "forgets": forgets,
        }
        return OutRecord(CHANGELOG, partition, str(partition).encode(), _CHANGELOG.encode(fields))
