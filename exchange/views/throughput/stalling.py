"""Noticing that Faust has stopped handing over deltas, though the topic holds more.

Seen after a restart under load: all is assigned, nothing fails, and nothing comes any more; or what came last was
passed over, and nothing follows by which that could be noticed. Guarantees: if committed records lie beyond all that
was handed over, while for `STALLED_S` nothing was and nothing was being counted, `check` says so; whoever runs Faust
starts it anew. Costs one look at the topic each time that nothing came for that long.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

from exchange.backbone.clients import Config, error, reader
from exchange.backbone.reading import read_to_end
from exchange.errors import Unavailable

STALLED_S = 20.0
ANSWER_TIMEOUT_S = 10.0


class Handed(NamedTuple):
    """What was handed over: how many records, the last offset of each partition; whether one is being counted."""

    records: int
    offsets: dict[int, int]
    is_busy: bool


class Progress:
    """Watches one life of the application. `group`: its own; `topic`: of the deltas."""

    def __init__(self, base: Config, group: str, topic: str, partitions: int, now_s: float) -> None:
        self._base, self._group, self._topic, self._partitions = base, group, topic, partitions
        self._seen, self._since_s = -1, now_s

    async def check(self, handed: Handed, now_s: float) -> None:
        """Look, if it is time to. `now_s`: monotonic. Raises: Unavailable ``throughput.stalled``."""
        if handed.records != self._seen or handed.is_busy:
            self._seen, self._since_s = handed.records, now_s
        if now_s - self._since_s < STALLED_S:
            return
        self._since_s = now_s
        try:
            left = await asyncio.to_thread(self._left, dict(handed.offsets))
        except Unavailable:
            return  # Kafka is away: nothing can come
        if left is not None:
            raise Unavailable("throughput.stalled", f"Faust hasn't handed over {left} for {STALLED_S:.0f} s")

    def _left(self, offsets: dict[int, int]) -> str | None:
        asking = reader(self._base, group_id=self._group)
        try:
            asked = [TopicPartition(self._topic, partition) for partition in range(self._partitions)]
            committed = asking.committed(asked, timeout=ANSWER_TIMEOUT_S)
        except KafkaException as exc:
            raise error(exc) from exc
        finally:
            asking.close()
        starts: dict[tuple[str, int], int | None] = {}
        for one in committed:
            offset = max(one.offset, offsets.get(one.partition, -1) + 1)
            starts[one.topic, one.partition] = offset if offset > 0 else None
        with closing(read_to_end(self._base, starts)) as portions:
            for first, *_ in portions:
                return f"{first.topic}/{first.partition}@{first.offset}"
        return None
