"""Following the ends of all inbox topics with one connection, into `Recent`.

Guarantees: what is committed is followed in order and without a gap; when the client fails, or stands still although
there is more (known of aiokafka, #718), it is made anew at the same positions. While the broker is away nothing
comes, and following goes on by itself.
"""

from __future__ import annotations

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from exchange.backbone.clients import Config
from exchange.errors import Unavailable
from exchange.gateway import kafka
from exchange.gateway.deliveries import delivery_of
from exchange.gateway.recent import Place, Recent
from exchange.pipeline.routing import INBOX_TOPICS

PORTION = 500
WAIT_MS = 500
PAUSE_S = 1.0
SILENCE_S = 5.0
"""After so long without a record, the ends are asked for."""

log = structlog.get_logger(__name__)


class Tail:
    """The one follower of a process. `partitions`: of every inbox topic."""

    def __init__(self, base: Config, partitions: int, recent: Recent) -> None:
        self._base = base
        self._places = [TopicPartition(t, p) for t in INBOX_TOPICS.values() for p in range(partitions)]
        self._recent = recent
        self._is_lost = False

    async def start(self) -> None:
        """Begin at the ends as they are now; Unavailable if the broker doesn't answer."""
        consumer = kafka.consumer(self._base)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(self._places)
        except KafkaError as exc:
            raise Unavailable("kafka.unavailable", repr(exc)) from exc
        finally:
            await consumer.stop()
        for place, end in ends.items():
            self._recent.begin((place.topic, place.partition), end)

    async def run(self) -> None:
        """Follow until cancelled; InvariantBroken stops the process.

        Each client has a task of its own, because aiokafka, when its broker goes away, can let its own tasks'
        cancellation out, which would end ours without a word.
        """
        while True:
            client = asyncio.create_task(self._one_client(), name="tail client")
            try:
                await asyncio.wait({client})
            except asyncio.CancelledError:
                client.cancel()
                await asyncio.wait({client})
                raise
            failure = None if client.cancelled() else client.exception()
            if failure is not None and not isinstance(failure, KafkaError | TimeoutError | Unavailable):
                raise failure
            log.warning("gateway.tail_restarts", error=repr(failure)[:300])
            self._is_lost = self._is_lost or isinstance(failure, OffsetOutOfRangeError)
            await asyncio.sleep(PAUSE_S)

    async def _one_client(self) -> None:
        """Follow with one client until it fails."""
        if self._is_lost:  # we were away longer than the inbox is kept
            await self.start()
            self._is_lost = False
        consumer = kafka.consumer(self._base)
        try:
            await consumer.start()
            await self._follow(consumer)
        finally:
            await consumer.stop()

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign(self._places)
        for place in self._places:
            consumer.seek(place, self._recent.next(_name(place)))
        heard = time.monotonic()
        while True:
            portion = await consumer.getmany(timeout_ms=WAIT_MS, max_records=PORTION)
            for place, messages in portion.items():
                for message in messages:
                    self._recent.add(_name(place), delivery_of(message))
            if portion:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_S:
                await self._check(consumer)
                heard = time.monotonic()

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """Step over trailing markers; TimeoutError if there was more for a while and it didn't come."""
        async with asyncio.timeout(SILENCE_S * 4):
            ends = await consumer.end_offsets(self._places)
            for place in self._places:
                position = await consumer.position(place)
                self._recent.pass_to(_name(place), position)
                if position < ends[place]:
                    await self._require_progress(consumer, place, position)

    async def _require_progress(self, consumer: AIOKafkaConsumer, place: TopicPartition, position: int) -> None:
        for place_, messages in (await consumer.getmany(timeout_ms=int(SILENCE_S * 1000))).items():
            for message in messages:
                self._recent.add(_name(place_), delivery_of(message))
        if await consumer.position(place) == position:
            raise TimeoutError(f"{place} stands still at {position}")


def _name(place: TopicPartition) -> Place:
    return place.topic, place.partition
