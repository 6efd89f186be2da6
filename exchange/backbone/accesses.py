"""The audit of the audit: that somebody looked, who, at what, when and why, in the topic ``audit.accesses``.

Guarantees: when `record` has returned, the broker has it on all in-sync replicas, and it is kept for ever; whoever
shows an answer only after that can't show one that isn't recorded. Does not prove who it was: that is what the
operating system or the caller says.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from confluent_kafka import KafkaError, KafkaException, Message

from exchange.backbone.clients import Config, error, producer
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.statements import Fields, identify, schema

ACCESSES = "audit.accesses"
"""The topic: one partition, kept for ever."""

TIMEOUT_S = 20.0

Action = Literal["search", "trace", "export"]
Place = tuple[str, int, int]
"""A submission: topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Access:
    """One look into the trace. `asked`: a search as JSON, or an id. `id`: 16 random bytes."""

    action: Action
    by: str
    reason: str
    asked: str
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))


class Accesses:
    """Records accesses. `topic`: where."""

    def __init__(self, base: Config, topic: str = ACCESSES) -> None:
        self._topic = topic
        self._producer = producer(base, linger_ms=0, delivery_timeout_ms=int(1_000 * TIMEOUT_S))

    def record(self, access: Access, shown: Iterable[Place]) -> None:
        """Record that these submissions are about to be shown; of an export, page by page under one access.

        Raises: Unavailable: it isn't recorded (or nobody knows), so show nothing.
        """
        self._look_for_topic()
        failures: list[str] = []

        def arrived(failure: KafkaError | None, _: Message) -> None:
            if failure is not None:
                failures.append(failure.str())

        self._producer.produce(self._topic, encode(access, shown), access.id, 0, on_delivery=arrived)
        if self._producer.flush(TIMEOUT_S) or failures:
            raise Unavailable("kafka.unavailable", failures[0] if failures else "the access could not be recorded")

    def _look_for_topic(self) -> None:
        try:
            found = self._producer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
        except KafkaException as exc:
            raise error(exc) from exc
        if found.error is not None:
            raise Unavailable("kafka.topic_missing", f"{self._topic}: {found.error}")


def encode(access: Access, shown: Iterable[Place]) -> bytes:
    """The record's value (``schemas/access``)."""
    offsets = defaultdict[tuple[str, int], list[int]](list)
    for topic, partition, offset in shown:
        offsets[topic, partition].append(offset)
    return schema("access").encode(
        {
            "access": access.id,
            "action": access.action,
            "by": access.by,
            "reason": access.reason,
            "asked": access.asked,
            "asked_ms": time.time_ns() // 1_000_000,
            "shown": [{"topic": t, "partition": p, "offsets": found} for (t, p), found in offsets.items()],
        }
    )


def decode(value: bytes) -> Fields:
    """Read a record of the topic; InvariantBroken if it isn't ours, for only we write there."""
    try:
        found = identify(value)
        if found.name != "access":
            raise InvariantBroken(f"a record of schema {found.name} in {ACCESSES}")
        return found.decode(value)
    except Rejected as exc:
        raise InvariantBroken(f"a record of {ACCESSES} that can't be read: {exc}") from exc
