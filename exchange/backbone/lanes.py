"""Urgent first, in one consumer: the bulk partitions rest while urgent records really wait.

Guarantees: bulk gets at least one batch in `BULK_SHARE`, whatever the urgent lane holds. "Waits" compares the
broker's end of the urgent log, as the last fetch told it, with our own position. Outside principals can't open
transactions on the submission topics, so their last stable offset is that end; should it not be, the share
keeps bulk alive.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from exchange.pipeline.outputs import Position
from exchange.statements import Topic

BULK_SHARE = 5
_BULK = frozenset({Topic.DOCUMENTS, Topic.REPORTS})


class Lanes:
    """The pause state of one consumer. Make a new one at each assignment: nothing is paused then."""

    def __init__(self, consumer: Consumer, positions: Mapping[Position, int]) -> None:
        self._consumer = consumer
        self._urgent = [TopicPartition(t, p) for t, p in positions if t == Topic.DOCUMENTS_URGENT]
        self._bulk = [TopicPartition(t, p) for t, p in positions if t in _BULK]
        self._paused = False
        self._batches_paused = 0

    def arrange(self, positions: Mapping[Position, int]) -> None:
        """Before a poll: pause bulk if urgent records wait, else resume it."""
        waiting = self._urgent_waits(positions)
        if waiting and self._batches_paused < BULK_SHARE - 1:
            self._batches_paused += 1
            if not self._paused:
                self._consumer.pause(self._bulk)
                self._paused = True
            return
        self._batches_paused = 0
        if self._paused:
            self._consumer.resume(self._bulk)
            self._paused = False

    def _urgent_waits(self, positions: Mapping[Position, int]) -> bool:
        for partition in self._urgent:
            _, high = self._consumer.get_watermark_offsets(partition, cached=True)
            if high > positions[partition.topic, partition.partition]:
                return True
        return False
