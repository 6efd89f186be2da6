"""Appending one record at a time to a topic of one partition, for those who may go on only once it is kept.

Guarantees: when `append` has returned, the broker has it on all in-sync replicas.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message

from exchange.backbone.clients import Config, error, producer
from exchange.errors import Unavailable
from exchange.statements import Fields

TIMEOUT_S = 20.0

Place = tuple[str, int, int]
"""A record: topic, partition, offset."""


class Durable:
    """Appends to `topic`."""

    def __init__(self, base: Config, topic: str) -> None:
        self._topic = topic
        self._producer = producer(base, linger_ms=0, delivery_timeout_ms=int(1_000 * TIMEOUT_S))

    def append(self, key: bytes, value: bytes) -> None:
        """Append and wait. Raises: Unavailable: it isn't kept, or nobody knows."""
        self._look_for_topic()
        failures: list[str] = []

        def arrived(failure: KafkaError | None, _: Message) -> None:
            if failure is not None:
                failures.append(failure.str())

        self._producer.produce(self._topic, value, key, 0, on_delivery=arrived)
        if self._producer.flush(TIMEOUT_S) or failures:
            raise Unavailable("kafka.unavailable", failures[0] if failures else f"{self._topic} could not be written")

    def _look_for_topic(self) -> None:
        try:
            found = self._producer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
        except KafkaException as exc:
            raise error(exc) from exc
        if found.error is not None:
            raise Unavailable("kafka.topic_missing", f"{self._topic}: {found.error}")


def grouped(places: Iterable[Place]) -> list[Fields]:
    """Places as records hold them: the offsets of each topic and partition."""
    offsets = defaultdict[tuple[str, int], list[int]](list)
    for topic, partition, offset in places:
        offsets[topic, partition].append(offset)
    return [{"topic": t, "partition": p, "offsets": found} for (t, p), found in offsets.items()]
