"""How far the hop is, by the deltas that it writes in its own transactions: small records with broker times.

So a benchmark sees each committed batch as any reader would, and costs next to nothing itself.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from confluent_kafka import TopicPartition

from exchange.backbone.clients import reader
from exchange.backbone.offsets import ends
from exchange.backbone.reading import record_of
from exchange.cli.world import World
from exchange.pipeline.books import DELTAS
from exchange.statements import schema

SAME_TRANSACTION_MS = 4
SILENCE_S = 60.0


class Batch(NamedTuple):
    """What one transaction did to one source partition. `append_ms`: the broker's clock."""

    append_ms: int
    topic: str
    documents: int


class Progress:
    """Reads the deltas from where they end now."""

    def __init__(self, world: World) -> None:
        self._consumer = reader(world.base, fetch_wait_max_ms=50)
        places = [(DELTAS, partition) for partition in range(world.layout.keyed)]
        self._consumer.assign([TopicPartition(t, p, ends(self._consumer, t, p)[1]) for t, p in places])

    def until(self, documents: int, topic: str | None = None, silence_s: float = SILENCE_S) -> list[Batch]:
        """The batches until so many documents (of `topic`) are through; RuntimeError when nothing moves any more."""
        batches: list[Batch] = []
        seen, heard = 0, time.monotonic()
        while seen < documents:
            for message in self._consumer.consume(100, timeout=0.1):
                read = record_of(message)
                delta = schema("delta").decode(read.value)
                outcomes = {cell["outcome"] for cell in delta["cells"]}
                if outcomes != {"accepted"}:
                    raise RuntimeError(f"the hop did not accept everything: {delta}")
                count = delta["next_offset"] - delta["previous_next_offset"]
                batches.append(Batch(read.append_ms, delta["topic"], count))
                heard = time.monotonic()
                if topic in {None, delta["topic"]}:
                    seen += count
            if time.monotonic() - heard > silence_s:
                raise RuntimeError(f"the hop stands still at {seen} of {documents}")
        return batches

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


class Span(NamedTuple):
    """From the first commit to the last. `documents`: those of the first transaction don't count."""

    begin: float
    end: float
    documents: int

    @property
    def per_second(self) -> float:
        """Documents a second."""
        return self.documents / (self.end - self.begin)


def span_of(batches: list[Batch]) -> Span:
    """The steady part of a run: without start-up and the first batch."""
    times = [batch.append_ms for batch in batches]
    first, last = min(times), max(times)
    documents = sum(batch.documents for batch in batches if batch.append_ms > first + SAME_TRANSACTION_MS)
    return Span(first / 1000, last / 1000, documents)
