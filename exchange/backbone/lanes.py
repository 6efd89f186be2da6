"""Urgent first, in one consumer: the bulk partitions rest while urgent records really wait.

Guarantees: of five batches that carry anything, bulk is in at least one, whatever the urgent lane holds: once its
turn has come it stays resumed until a batch has brought bulk records (a fetch takes longer than a poll), or none
wait. "Waits" compares the broker's end of a log, as the last fetch told it, with our own position. Outside principals
can't open transactions on the submission topics, so their last stable offset is that end; should it not be, the share
keeps bulk alive.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer, TopicPartition

from exchange.pipeline.outputs import Position
from exchange.pipeline.submission import Submission
from exchange.statements import Topic

BULK_SHARE = 5
BATCH_RECORDS_MAX = 2_000
"""Each transaction costs about thirty requests, whatever it holds."""
BATCH_RECORDS_SHORT = 250
"""While urgent records come: each of them waits for the batch that is under way, and that for its requests."""
SHORT_FOR_S = 2.0
"""How long batches stay short after an urgent record."""

_BULK = frozenset({Topic.DOCUMENTS, Topic.REPORTS})


class Lanes:
    """The pause state of one consumer. Make a new one at each assignment, with nothing paused."""

    def __init__(self, consumer: Consumer, positions: Mapping[Position, int]) -> None:
        self._consumer = consumer
        self._urgent = [TopicPartition(t, p) for t, p in positions if t == Topic.DOCUMENTS_URGENT]
        self._bulk = [TopicPartition(t, p) for t, p in positions if t in _BULK]
        self._paused = False
        self._without_bulk = 0
        self._short_until = 0.0

    @property
    def batch_records_max(self) -> int:
        """How many records the next batch may hold."""
        return BATCH_RECORDS_SHORT if time.monotonic() < self._short_until else BATCH_RECORDS_MAX

    def arrange(self, positions: Mapping[Position, int]) -> None:
        """Before a poll: pause bulk if urgent records wait and it isn't bulk's turn, else resume it."""
        rest = self._without_bulk < BULK_SHARE - 1 and self._waits(self._urgent, positions)
        if rest and not self._paused:
            self._consumer.pause(self._bulk)
        elif self._paused and not rest:
            self._consumer.resume(self._bulk)
        self._paused = rest

    def served(self, batch: Iterable[Submission], positions: Mapping[Position, int]) -> None:
        """After a batch: whose turn is it next, and for how much?"""
        topics = {submission.topic for submission in batch}
        if Topic.DOCUMENTS_URGENT in topics:
            self._short_until = time.monotonic() + SHORT_FOR_S
        if topics & _BULK or not self._waits(self._bulk, positions):
            self._without_bulk = 0
        else:
            self._without_bulk += 1

    def _waits(self, partitions: Sequence[TopicPartition], positions: Mapping[Position, int]) -> bool:
        for partition in partitions:
            _, high = self._consumer.get_watermark_offsets(partition, cached=True)
            if high > positions[partition.topic, partition.partition]:
                return True
        return False
