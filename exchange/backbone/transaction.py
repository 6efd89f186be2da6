"""One Kafka transaction: records and input offsets together, visible all at once or never.

Guarantees: when `write` returns, everything is committed and replicated (``acks=all``). When it raises
`Unavailable`, everything was aborted and can be written again. When it raises `Fenced`, a successor may own the
work, or the outcome is unknown: exit and restore. A retriable commit error is retried, never aborted.

Source: KIP-98, KIP-447; librdkafka's INTRODUCTION.md, "Transactional Producer".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Producer, TopicPartition

from exchange.backbone.clients import error
from exchange.backbone.watchdog import Watchdog
from exchange.errors import Fenced, Unavailable
from exchange.pipeline.books import OutRecord

CALL_TIMEOUT_S = 5.0
CALL_STUCK_S = 10.0
"""A call that takes longer doesn't keep to its timeout: the process is killed, its successor restores."""
COMMIT_TIMEOUT_S = 60.0


class Removal(NamedTuple):
    """Takes a key out of a compacted topic."""

    topic: str
    partition: int
    key: bytes
    value: None = None
    traceparent: None = None


Headers = list[tuple[str, str | bytes | None]] | None

Probe = Callable[[str], None]
"""Told the name of each step as it is reached; fault tests kill the process there."""

STEPS = ("polled", "verified", "decided", "begun", "producing", "produced", "offsets_sent", "committed", "applied")
"""The steps of the hop that a probe is told of, in order."""


class Transactions:
    """The transactional side of one worker; `transactional_id` fences an earlier worker of the same name."""

    def __init__(self, producer: Producer, probe: Probe) -> None:
        self._producer = producer
        self._probe = probe
        self.watchdog = Watchdog(CALL_STUCK_S)
        self._until_done("init", lambda: producer.init_transactions(CALL_TIMEOUT_S))

    def write(self, records: Sequence[OutRecord | Removal], offsets: list[TopicPartition], group: Any) -> None:  # noqa: ANN401
        """Write one transaction. `group`: the consumer's ``consumer_group_metadata()``; None without offsets.

        Raises: Unavailable (aborted: seek back and try again), Fenced (exit).
        """
        try:
            self._producer.begin_transaction()
            self._probe("begun")
            self._produce(records)
            self._probe("produced")
            if offsets:
                self._until_done(
                    "send_offsets",
                    lambda: self._producer.send_offsets_to_transaction(offsets, group, CALL_TIMEOUT_S),
                )
                self._probe("offsets_sent")
            self._until_done("commit", lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))
            self._probe("committed")
        except KafkaException as exc:
            self._abort(exc)

    def _produce(self, records: Sequence[OutRecord | Removal]) -> None:
        produce = self._producer.produce
        half = len(records) // 2
        for number, record in enumerate(records):
            if number == half:
                self._probe("producing")
            headers: Headers = None if record.traceparent is None else [("traceparent", record.traceparent)]
            while True:
                try:
                    produce(record.topic, record.value, record.key, record.partition, headers=headers)
                    break
                except BufferError:
                    self._producer.poll(0.1)

    def _until_done(self, what: str, call: Callable[[], object]) -> None:
        """Repeat a call while its error is retriable; Fenced ``kafka.outcome_unknown`` when time is up."""
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        while True:
            try:
                with self.watchdog.over(what):
                    call()
                return
            except KafkaException as exc:
                cause = exc.args[0]
                if not cause.retriable() or cause.txn_requires_abort() or cause.fatal():
                    raise
                if time.monotonic() > deadline:
                    raise Fenced("kafka.outcome_unknown", f"{what}: {cause.str()}") from exc

    def _abort(self, exc: KafkaException) -> None:
        cause = exc.args[0]
        if not cause.txn_requires_abort():
            raise Fenced("kafka.fenced", cause.str()) from exc
        failure = error(exc)
        try:
            self._until_done("abort", lambda: self._producer.abort_transaction(CALL_TIMEOUT_S))
        except KafkaException as aborting:
            raise Fenced("kafka.fenced", aborting.args[0].str()) from aborting
        if isinstance(failure, Fenced):
            raise failure from exc
        raise Unavailable("kafka.aborted", cause.str()) from exc
