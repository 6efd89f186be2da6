"""Carrying out what was decided to be erased, and saying so in the trace.

For each decision of the directory (`Erasure`), in its order: destroy the statements' keys → take their attachments
away → ask the ledger's writer to destroy the salts of their events → write one event ``erased`` and how far the
directory was carried out, in one Kafka transaction. Each of the first three can be done again; the last is done once.

Guarantees: once the event is there, nothing in the archive opens any more, and the request about the salts is durable
(its writer serves it before it reads on). The event is a leaf of the ledger like any other, and names the decision by
its offset in the directory: who, when and why stand there, signed. The trace store blanks what the event names.

Does not: reach into topics. What was said leaves them by their own time; `exchange archive status` says how far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from exchange.agencies import Erasure
from exchange.archive.attachments import SealedAttachments
from exchange.archive.keys import KeyStore
from exchange.backbone.clients import Config, error, error_of, reader, transactional_producer
from exchange.backbone.directory_log import TOPIC as DIRECTORY
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.objects import Objects
from exchange.backbone.transaction import Probe, Transactions
from exchange.ledger.forgetting import Forgotten, ask_to_forget
from exchange.pipeline.books import TRACE, OutRecord
from exchange.statements import Fields, schema

GROUP = "archive.erasures"
DONE = "erasures"
"""The object that says how far the directory was carried out, should Kafka forget the group's offset."""

ERASED = "document.erased"
"""The code of the event."""

WORKER = "archive"
ASKING_S = 20.0

log = structlog.get_logger(__name__)


STEPS = ("keys", "attachments", "salts", "begun", "producing", "produced", "offsets_sent", "committed", "noted")
"""The steps of a decision that a probe is told of, in order."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where an erasure reaches: the archive's objects, keys and attachments, the ledger, the trace.

    `group`: under which Kafka keeps how far the directory was carried out; it is the transactional id as well.
    """

    archive: Objects
    keys: KeyStore
    attachments: SealedAttachments
    ledger: Objects
    trace: str = TRACE
    group: str = GROUP


class Eraser:
    """Carries out one exchange's erasures; `close` it. `probe`: told the steps of each."""

    def __init__(
        self,
        base: Config,
        directory: DirectoryLog,
        places: Places,
        probe: Probe = lambda _: None,
    ) -> None:
        self._directory = directory
        self._places = places
        self._probe = probe
        self._base = base
        self._group: Consumer = reader(base, group_id=places.group)

    def close(self) -> None:
        """Let go of the connection."""
        self._group.close()

    def carry_out(self, now_ms: Callable[[], int]) -> int:
        """Carry out what was decided and isn't yet; returns how many decisions. Raises: Unavailable, Fenced."""
        self._directory.catch_up()
        if not self._waiting():
            return 0
        # Whoever was at it is fenced first: what it has committed is seen, what it hasn't can't be any more.
        transactions = Transactions(transactional_producer(self._base, self._places.group), self._probe)
        waiting = self._waiting()
        for offset, decision in waiting:
            self._carry_out(offset, decision, now_ms(), transactions)
        return len(waiting)

    def next_offset(self) -> int:
        """The directory was carried out up to here. Raises: Unavailable."""
        data = self._places.archive.read(DONE)
        try:
            [found] = self._group.committed([TopicPartition(DIRECTORY, 0)], timeout=ASKING_S)
        except KafkaException as exc:
            raise error(exc) from exc
        if found.error is not None:
            raise error_of(found.error)
        return max(0 if data is None else int(data), 0 if found.offset == OFFSET_INVALID else found.offset)

    def _waiting(self) -> list[tuple[int, Erasure]]:
        return self._directory.directory.latest().erasures(self.next_offset())

    def _carry_out(self, offset: int, decision: Erasure, now_ms: int, transactions: Transactions) -> None:
        statements = {one.sha256 for one in decision.statements}
        self._places.keys.destroy(statements, now_ms)
        self._probe("keys")
        for statement in statements:
            self._places.attachments.erase(statement)
        self._probe("attachments")
        events = [Forgotten(one.partition, one.trace_offset, one.trace_index) for one in decision.statements]
        ask_to_forget(self._places.ledger, f"{offset:020d}-{decision.part}", events)
        self._probe("salts")
        done = [TopicPartition(DIRECTORY, 0, offset + 1)]
        transactions.write(
            [_event(self._places.trace, offset, decision, now_ms)], done, self._group.consumer_group_metadata()
        )
        self._places.archive.replace(DONE, str(offset + 1).encode())
        self._probe("noted")
        log.info("archive.erased", directory_offset=offset, statements=len(statements))


def _event(trace: str, offset: int, decision: Erasure, now_ms: int) -> OutRecord:
    """The trace record, in the partition of the document's own events, as if submitted in the directory."""
    partition = decision.statements[0].partition
    event: Fields = {
        "offset": offset,
        "append_ms": decision.version,
        "outcome": "erased",
        "code": ERASED,
        "kind": "",
        "sender": decision.sender,
        "sender_level": 0,
        "verified": False,
        "id": decision.id,
        "thread": decision.thread,
        "sha256": decision.statements[0].sha256,
        "certificate": None,
        "summary": None,
        "status": None,
        "deliveries": [],
        "accepted_offset": -1,
    }
    record = {
        "topic": DIRECTORY,
        "partition": partition,
        "directory_offset": offset + 1,
        "hop_ms": now_ms,
        "worker": WORKER,
        "events": [event],
    }
    return OutRecord(trace, partition, f"{DIRECTORY}/{partition}".encode(), schema("trace").encode(record))
