"""An agency's inbox as a topic of its own: what is delivered to it, copied, for one that asked to read it from Kafka.

Guarantees: each delivery to the agency comes into its topic exactly once and in the order of its inbox, over kills:
copies and the place in the inbox are one transaction, and a copier that starts fences the one before. A copy names no
other recipient. Only that agency may read it (`exchange.backbone.outsiders`). Does not: verify what it copies, as the
recipient does that; keep copies for longer than inboxes are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from exchange.agencies.entries import Agency
from exchange.backbone.clients import Config, error, error_of, reader, transactional_producer
from exchange.backbone.reading import Read, record_of
from exchange.backbone.retrying import retried
from exchange.backbone.topics import Difference, Layout, apply
from exchange.backbone.transaction import Probe, Transactions
from exchange.errors import Unavailable
from exchange.pipeline.books import OutRecord
from exchange.pipeline.routing import INBOX_TOPICS, inbox_partition
from exchange.statements import schema

AT_ONCE = 500
UNNOTED_MAX = 10_000
"""After so many deliveries to others the place is noted, so that a restart doesn't read them again."""

_WAIT_S = 0.2
_TIMEOUT_S = 30.0
_DELIVERY = schema("delivery")


def topic_of(code: str) -> str:
    """The topic of an agency's own inbox."""
    return f"inbox.of.{code}"


def make_topic(admin: AdminClient, layout: Layout, code: str) -> None:
    """Make the topic, kept for as long as inboxes are; idempotent. Raises: Unavailable."""
    name = topic_of(code)
    try:
        if name in admin.list_topics(timeout=_TIMEOUT_S).topics:
            return
    except KafkaException as exc:
        raise error(exc) from exc
    model = next(topic for topic in layout.topics if topic.name in INBOX_TOPICS.values())
    kept = {"retention.ms": str(model.leaves_after_ms or -1)}
    apply(admin, Difference((replace(model, name=name, partitions=1, config=model.config | kept),), ()))


class OwnInbox:
    """Copies one agency's deliveries. `partitions`: of an inbox topic. `copied`: how many so far."""

    def __init__(self, base: Config, agency: Agency, partitions: int, probe: Probe = lambda _: None) -> None:
        self.copied = 0
        self._base = base
        self._code = agency.code
        self._from = TopicPartition(INBOX_TOPICS[agency.level], inbox_partition(agency.code, partitions))
        self._name = f"own-inbox.{agency.code}"
        self._probe = probe

    def run(self, stop: Event) -> None:
        """Copy what is there and what comes, until `stop`. Raises: Fenced: another copier took over."""
        retried(lambda: self._copy(stop.is_set), stop, math.inf, lambda: self.copied, "own_inbox.waiting")

    def _copy(self, stopped: Callable[[], bool]) -> None:
        transactions = Transactions(transactional_producer(self._base, self._name), self._probe)
        consumer = reader(self._base, group_id=self._name, auto_offset_reset="earliest")
        try:
            consumer.assign([self._begin(consumer)])
            unnoted = 0
            while not stopped():
                reads = _portion(consumer)
                unnoted += len(reads)
                copies = [copy for read in reads if (copy := self._copy_of(read)) is not None]
                if copies or unnoted > UNNOTED_MAX:
                    place = TopicPartition(self._from.topic, self._from.partition, reads[-1].offset + 1)
                    transactions.write(copies, [place], consumer.consumer_group_metadata())
                    self.copied += len(copies)
                    unnoted = 0
        finally:
            consumer.close()

    def _begin(self, consumer: Consumer) -> TopicPartition:
        """Where to go on; asked after the copier before was fenced, so it is the last word."""
        try:
            [noted] = consumer.committed([self._from], timeout=_TIMEOUT_S)
        except KafkaException as exc:
            raise error(exc) from exc
        place = noted.offset if noted.offset >= 0 else OFFSET_BEGINNING
        return TopicPartition(self._from.topic, self._from.partition, place)

    def _copy_of(self, read: Read) -> OutRecord | None:
        delivery = _DELIVERY.decode(read.value)
        if self._code not in delivery["recipients"]:
            return None
        own = _DELIVERY.encode({**delivery, "recipients": [self._code]})
        return OutRecord(topic_of(self._code), 0, read.key or b"", own)


def _portion(consumer: Consumer) -> Sequence[Read]:
    reads = []
    for message in consumer.consume(AT_ONCE, timeout=_WAIT_S):
        failure = message.error()
        if failure is not None:
            raise error_of(failure) if not failure.retriable() else Unavailable("kafka.unavailable", failure.str())
        reads.append(record_of(message))
    return reads
