"""Following a topic from offsets that the caller keeps, in portions, outside any group.

Guarantees: each partition is read in order, and only what is committed (read_committed); a portion is bounded.
While the broker is away nothing comes, and reading goes on by itself when it is back. Nothing is stored: whoever
fails with a portion follows again from the offsets that it has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from exchange.backbone.clients import Config, error, error_of, reader
from exchange.backbone.reading import Read, record_of
from exchange.errors import Misconfigured, Unavailable

PORTION_BYTES_MAX = 2 * 1024 * 1024
"""A portion ends with the record that reaches this many bytes of values."""
METADATA_TIMEOUT_S = 10.0

_AT_ONCE = 16
_SLICE_S = 0.02


class Following:
    """One reader of a topic; made by `follow`. `is_at_end`: all partitions have been read to their ends."""

    def __init__(self, consumer: Consumer, ends: dict[int, int | None]) -> None:
        self._consumer = consumer
        self._ends = ends
        self._unfinished = set(ends)
        self._reached: dict[int, int] = {}

    @property
    def reached_ms(self) -> int | None:
        """All that was appended before has been read: broker's clock, ms; now, at the end of all partitions.

        None as long as that isn't known of a partition.
        """
        if not self._unfinished:
            return int(time.time() * 1000)
        reached = [self._reached.get(partition) for partition in self._unfinished]
        return None if None in reached else min(one for one in reached if one is not None)

    @property
    def is_at_end(self) -> bool:
        """Whether every partition was read to its last stable offset, or to the end asked for."""
        return not self._unfinished

    def portion(self, wait_s: float, linger_s: float = 0.0) -> list[Read]:
        """Read the next records: wait for the first at most `wait_s`, then for others at most `linger_s`.

        Ends early at the end of all partitions if `linger_s` is 0.
        Raises: Unavailable; Misconfigured ``the topic does not hold an offset any more``.
        """
        reads: list[Read] = []
        size, deadline = 0, time.monotonic() + wait_s
        while size < PORTION_BYTES_MAX:
            messages = self._consumer.consume(_AT_ONCE, timeout=_SLICE_S)
            now = time.monotonic()
            taken = [read for message in messages if (read := self._take(message)) is not None]
            if taken and not reads:
                deadline = now + linger_s
            reads += taken
            size += sum(len(read.value) for read in taken)
            if (now >= deadline and len(messages) < _AT_ONCE) or (self.is_at_end and not linger_s):
                break
        return reads

    def _take(self, message: Message) -> Read | None:
        failure = message.error()
        partition = message.partition() or 0
        if failure is None:
            read = record_of(message)
            self._reached[partition] = read.append_ms
            end = self._ends[partition]
            if end is None:
                self._unfinished.add(partition)
            elif read.offset + 1 >= end:
                self._unfinished.discard(partition)
            return read if end is None or read.offset < end else None
        if failure.code() == KafkaError._PARTITION_EOF:
            self._unfinished.discard(partition)
            return None
        if failure.code() == KafkaError._AUTO_OFFSET_RESET:
            problem = f"{message.topic()}/{partition} does not hold the offset where reading should go on"
            raise Misconfigured([f"{problem} ({failure.str()}): rebuild what is computed from it"])
        raise error_of(failure)


@contextmanager
def follow(
    base: Config, topic: str, starts: Mapping[int, int], ends: Mapping[int, int] | None = None
) -> Iterator[Following]:
    """Follow all partitions of a topic, from the next offset in `starts` or else from the oldest record.

    `ends`: read no further than these next offsets (absent: 0), and not at all beyond what is there.
    Raises: Unavailable ``kafka.topic_missing``, ``kafka.unavailable``.
    """
    consumer = reader(base, enable_partition_eof=True)
    try:
        places: dict[int, int] = {p: starts.get(p, OFFSET_BEGINNING) for p in _partitions(consumer, topic)}
        bounds: dict[int, int | None] = dict.fromkeys(places)
        if ends is not None:
            bounds = {p: ends[p] for p in places if ends.get(p, 0) > starts.get(p, 0)}
        consumer.assign([TopicPartition(topic, p, places[p]) for p in bounds])
        yield Following(consumer, bounds)
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    """The topic's partitions, within a time in which a stop may be waited for."""
    try:
        found = consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
    except KafkaException as exc:
        raise error(exc) from exc
    if found.error is not None:
        raise Unavailable("kafka.topic_missing", f"{topic}: {found.error}; run `exchange init`")
    return sorted(found.partitions)
