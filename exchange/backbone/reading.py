"""Reading a topic from a place to its end, outside any group.

Guarantees: each partition is read in order to its last stable offset as it was when that was reached (a record
of an open or aborted transaction is never seen). The end is the client's own end-of-partition event, because
the last record of a log may be a transaction marker, which no position ever reaches.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from exchange.backbone.clients import Config, error, reader
from exchange.backbone.offsets import ends
from exchange.errors import InvariantBroken, Unavailable

SILENCE_TIMEOUT_S = 60.0
QUEUE_KBYTES = 32_768
_SOON_S = 0.002
_REFILL_MS = 5
"""When a full queue is looked at again; by default after a second, in which whoever reads waits."""


class Read(NamedTuple):
    """One record read. `append_ms`: the broker's clock."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes


def record_of(message: Message) -> Read:
    """The record in a message that bears no error."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise InvariantBroken("a message without coordinates")
    key, value = message.key(), message.value()
    return Read(topic, partition, offset, message.timestamp()[1], _bytes(key), _bytes(value) or b"")


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The partitions of a topic; Unavailable ``kafka.topic_missing``."""
    try:
        found = consumer.list_topics(topic, timeout=SILENCE_TIMEOUT_S).topics[topic]
    except KafkaException as exc:
        raise error(exc) from exc
    if found.error is not None:
        raise Unavailable("kafka.topic_missing", f"{topic}: {found.error}; run `exchange init`")
    return sorted(found.partitions)


def read_one(base: Config, topic: str, partition: int, offset: int) -> Read | None:
    """The record at these coordinates; None if none is kept there.

    Raises: Unavailable, also for a partition that doesn't exist.
    """
    asking = reader(base)
    try:
        oldest, end = ends(asking, topic, partition)
    finally:
        asking.close()
    if not oldest <= offset < end:
        return None
    with closing(read_to_end(base, {(topic, partition): offset})) as portions:
        for first, *_ in portions:
            return first if first.offset == offset else None
    return None


def read_to_end(
    base: Config, starts: Mapping[tuple[str, int], int | None], queue_kbytes: int = QUEUE_KBYTES
) -> Generator[list[Read], None, None]:
    """Read the given partitions from their start offset (None: the oldest kept) to their ends, in portions.

    `queue_kbytes`: how much may be fetched ahead.

    Raises: Unavailable when the broker stays silent for `SILENCE_TIMEOUT_S`.
    """
    if not starts:
        return
    consumer = _to_ends(base, queue_kbytes)
    try:
        consumer.assign([_from(consumer, t, p, start) for (t, p), start in starts.items()])
        yield from _portions(consumer, set(starts))
    finally:
        consumer.close()


class Readers:
    """Consumers that read one partition after another to its end, so that a connection is opened once, not for each.

    Several reads may be under way at once, each has a consumer of its own. `close` them. `queue_kbytes`: how much each
    may have fetched ahead.
    """

    def __init__(self, base: Config, queue_kbytes: int = QUEUE_KBYTES) -> None:
        self._base = base
        self._queue_kbytes = queue_kbytes
        self._idle: list[Consumer] = []

    def to_end(self, topic: str, partition: int, start: int) -> Generator[list[Read], None, None]:
        """Read a partition from an offset to its end, in portions. Raises: as `read_to_end`."""
        consumer = self._idle.pop() if self._idle else _to_ends(self._base, self._queue_kbytes)
        try:
            consumer.assign([TopicPartition(topic, partition, start)])
            yield from _portions(consumer, {(topic, partition)}, _SOON_S)
        except BaseException:  # given up in the middle as well
            consumer.close()
            raise
        consumer.unassign()
        self._idle.append(consumer)

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().close()


def _to_ends(base: Config, queue_kbytes: int) -> Consumer:
    return reader(
        base,
        enable_partition_eof=True,
        fetch_wait_max_ms=10,
        queued_max_messages_kbytes=queue_kbytes,
        fetch_queue_backoff_ms=_REFILL_MS,
    )


def _from(consumer: Consumer, topic: str, partition: int, start: int | None) -> TopicPartition:
    """Where to begin; asking for the oldest offset here is 20 times faster than leaving it to the client."""
    if start is not None:
        return TopicPartition(topic, partition, start)
    low, _ = ends(consumer, topic, partition)
    return TopicPartition(topic, partition, low)


def _portions(consumer: Consumer, unfinished: set[tuple[str, int]], portion_s: float = 0.02) -> Iterator[list[Read]]:
    """`portion_s`: how long a portion is waited for to fill up."""
    heard = time.monotonic()
    while unfinished:
        messages = consumer.consume(2000, timeout=portion_s)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_TIMEOUT_S:
            raise Unavailable("kafka.silent", f"nothing from {sorted(unfinished)[:3]} for {SILENCE_TIMEOUT_S} s")
        portion: list[Read] = []
        for message in messages:
            failure = message.error()
            if failure is None:
                portion.append(record_of(message))
            elif failure.code() == KafkaError._PARTITION_EOF:
                unfinished.discard((message.topic() or "", message.partition() or 0))
            else:
                raise Unavailable("kafka.unavailable", failure.str())
        if portion:
            yield portion
            heard = time.monotonic()
