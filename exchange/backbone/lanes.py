"""Urgent first: urgent records come over a consumer of their own.

A client hands out records in the order in which it fetched them, and with a backlog it has fetched a second's work: in
one consumer an urgent record would wait behind all of that. Which partitions are ours, the member of the group says;
the other consumer belongs to none.

Guarantees: urgent records that have arrived come into the next batch, before all others; a fifth of each batch is for
those others, whatever the urgent lane holds. Nothing is handed out that was fetched before the last `start`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, Message, TopicPartition

from exchange.backbone.clients import Config, reader
from exchange.pipeline.outputs import Position
from exchange.statements import Topic

BULK_SHARE = 5
BATCH_RECORDS_MAX = 500
"""Each transaction costs about thirty requests, whatever it holds; the first urgent record waits for a whole one."""
BATCH_RECORDS_SHORT = 100
"""While urgent records come: each of them waits for the batch that is under way, and for its own."""
SHORT_FOR_S = 2.0
"""How long batches stay short after an urgent record."""


class Lanes:
    """What a worker reads by: `member`, of the group, for all but the urgent lane, and a consumer for that."""

    def __init__(self, member: Consumer, base: Config) -> None:
        self._member = member
        self._express = reader(base)
        self._short_until = 0.0

    @property
    def batch_records_max(self) -> int:
        """How many records the next batch may hold."""
        return BATCH_RECORDS_SHORT if time.monotonic() < self._short_until else BATCH_RECORDS_MAX

    def start(self, positions: Mapping[Position, int]) -> None:
        """Read every input from its position."""
        inputs = [TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]
        self._express.assign([at for at in inputs if at.topic == Topic.DOCUMENTS_URGENT])
        self._member.assign([at for at in inputs if at.topic != Topic.DOCUMENTS_URGENT])

    def stop(self) -> None:
        """Read nothing, until `start`."""
        self.lose()
        self._member.assign([])

    def lose(self) -> None:
        """Within the member's word that its partitions are taken from it: the urgent ones are, too."""
        self._express.assign([])

    def urgent(self, most: int) -> list[Message]:
        """The urgent records that have arrived, of a batch that holds `most`."""
        messages = self._express.consume(most - most // BULK_SHARE, timeout=0.0)
        if messages:
            self._short_until = time.monotonic() + SHORT_FOR_S
        return messages

    def others(self, most: int, timeout_s: float) -> list[Message]:
        """Up to `most` records of all other lanes, waited for until there are so many or the time is up.

        Rebalances are told of in here.
        """
        return self._member.consume(most, timeout=timeout_s)

    def close(self) -> None:
        """Leave the group; while it does, the member may still tell of partitions that it loses."""
        self._member.close()
        self._express.close()
