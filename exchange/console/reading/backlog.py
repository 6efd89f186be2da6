"""How far the hop is behind the submissions, and the trace store behind the hop."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException

from exchange.backbone.clients import error, reader
from exchange.backbone.lag import hop_lag
from exchange.backbone.offsets import ends
from exchange.console.deployment import Deployment
from exchange.pipeline.books import TRACE

ANSWER_S = 3.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records that wait. `hop`: submissions not decided yet; `trace_store`: of the trace, not stored yet (a record is
    a batch's events or a transaction's marker; the last marker of a partition isn't counted, for none follows it)."""

    hop: int
    trace_store: int

    def drain_s(self, rate: float) -> float | None:
        """Seconds until the hop is done, at so many documents a minute; None if it isn't moving."""
        if not self.hop:
            return 0.0
        return self.hop / rate * 60 if rate > 0 else None


def read(deployment: Deployment) -> Backlog:
    """Look at both. Raises: Unavailable."""
    base = deployment.base()
    consumer = reader(base)
    try:
        _ask_whether_anybody_is_there(consumer)
        hop = sum(hop_lag(base, deployment.group, deployment.keyed).values())
        stored = deployment.traces().offsets(TRACE)
        behind = 0
        for partition in range(deployment.keyed):
            low, high = ends(consumer, TRACE, partition)
            behind += max(high - 1 - max(stored.get(partition, 0), low), 0)
    finally:
        consumer.close()
    return Backlog(hop, behind)


def _ask_whether_anybody_is_there(consumer: Consumer) -> None:
    """What is asked afterwards waits for a minute; a page should say sooner that Kafka is away."""
    try:
        consumer.list_topics(TRACE, timeout=ANSWER_S)
    except KafkaException as exc:
        raise error(exc) from exc
