"""Putting examined records onto the submission topics, asynchronously.

Guarantees: a receipt is given only once the broker has the record on all in-sync replicas; of one request, records
of one key keep their order. Not guaranteed: all or nothing over a broker's failure; whoever gets no answer sends
the same bytes again, and the hop recognises them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import KafkaError

from exchange.backbone.clients import Config
from exchange.backbone.submitting import Outgoing, Taken, headers
from exchange.errors import Misconfigured, Unavailable
from exchange.gateway import kafka
from exchange.pipeline.submission import partition_of
from exchange.statements import KINDS, SUBMISSION_TOPICS


class Producing:
    """The gateway's producer. `partitions`: of every submission topic."""

    def __init__(self, base: Config, partitions: int, timeout_s: float) -> None:
        self._partitions = partitions
        self._timeout_s = timeout_s
        self._producer = kafka.producer(base)

    async def start(self) -> None:
        """Connect. Raises: Unavailable; Misconfigured if a topic has another number of partitions."""
        try:
            await self._producer.start()
            counts = {topic: len(await self._producer.partitions_for(topic) or ()) for topic in SUBMISSION_TOPICS}
        except KafkaError as exc:
            await self._producer.stop()
            raise Unavailable("kafka.unavailable", repr(exc)) from exc
        wrong = [f"topic {t} has {n} partitions, not {self._partitions}" for t, n in counts.items()]
        if set(counts.values()) != {self._partitions}:
            await self._producer.stop()
            raise Misconfigured(wrong)

    async def stop(self) -> None:
        """Send what is queued and disconnect."""
        await self._producer.stop()

    async def submit(self, outgoing: Sequence[Outgoing], traceparent: str | None = None) -> list[Taken]:
        """Send all and wait for the broker's receipts, in the same order. `traceparent`: of all; else each its own.

        Cancelled: what was queued is sent nevertheless. Raises: Unavailable ``kafka.unavailable``; some may have
            been taken: send the same bytes again.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                waiting = [await self._send(one, traceparent) for one in outgoing]
                # Each result is fetched, so that a second failure isn't left without an owner.
                answers = await asyncio.gather(*waiting, return_exceptions=True)
        except (KafkaError, TimeoutError) as exc:
            raise Unavailable("kafka.unavailable", repr(exc)) from exc
        taken = []
        for one, answer in zip(outgoing, answers, strict=True):
            if isinstance(answer, BaseException):
                raise Unavailable("kafka.unavailable", repr(answer)) from answer
            taken.append(Taken(one.fields["id"], answer.topic, answer.partition, answer.offset, answer.timestamp))
        return taken

    async def _send(self, one: Outgoing, traceparent: str | None) -> Any:  # noqa: ANN401  aiokafka's future
        kind = KINDS[one.kind]
        key = kind.key(one.fields).encode()
        carried = [
            (name, value.encode() if isinstance(value, str) else value) for name, value in headers(one, traceparent)
        ]
        return await self._producer.send(
            kind.topic(one.fields), one.record, key, partition_of(key, self._partitions), headers=carried
        )
