"""Where logs begin, end, and have been committed to; asked of the broker, with patience for a new leader or
coordinator.

Source: KIP-98 (last stable offset), KIP-447 (a group's stable offsets: asking waits for pending transactions).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from exchange.backbone.clients import Config, error, error_of, reader
from exchange.errors import Unavailable
from exchange.statements import SUBMISSION_TOPICS

ANSWER_TIMEOUT_S = 60.0
LEADER_TIMEOUT_S = 20.0
STABLE_TIMEOUT_S = 30.0
"""A transaction ends within 3 s; far longer means that the cluster doesn't end them."""

_POLL_S = 0.05
_NO_LEADER = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,  # by a broker that has not heard of it yet
    }
)

_NO_COORDINATOR = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)


def ends(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """The oldest offset kept, and the end: the last stable offset, if the consumer reads committed records only.

    A partition that was just made, or just lost its leader, is asked again for `LEADER_TIMEOUT_S`.
    Raises: Unavailable, Fenced.
    """
    deadline = time.monotonic() + LEADER_TIMEOUT_S
    while True:
        try:
            found: tuple[int, int] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            return found
        except KafkaException as exc:
            if exc.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                raise error(exc) from exc
        time.sleep(_POLL_S)


def first_since(consumer: Consumer, topic: str, partition: int, ms: int) -> int:
    """The first offset that was appended at that time (ms since 1970 UTC) or later; the end, if there is none.

    Raises: Unavailable, Fenced.
    """
    try:
        (found,) = consumer.offsets_for_times([TopicPartition(topic, partition, ms)], timeout=ANSWER_TIMEOUT_S)
    except KafkaException as exc:
        raise error(exc) from exc
    if found.error is not None:
        raise error_of(found.error)
    offset: int = found.offset
    return offset if offset >= 0 else ends(consumer, topic, partition)[1]


def oldest_of(base: Config, topic: str) -> dict[int, int]:
    """The oldest offset kept of each partition of a topic. Raises: Unavailable."""
    asking = reader(base)
    try:
        found = asking.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise Unavailable("kafka.topic_missing", f"{topic}: {found.error}; run `exchange init`")
        return {partition: ends(asking, topic, partition)[0] for partition in sorted(found.partitions)}
    except KafkaException as exc:
        raise error(exc) from exc
    finally:
        asking.close()


def committed(consumer: Consumer, partitions: Iterable[int]) -> dict[tuple[str, int], int]:
    """The next offset, by the consumer's group, of every submission topic in these partitions; 0 if none.

    Raises: as `committed_with_notes`.
    """
    return {position: offset for position, (offset, _) in committed_with_notes(consumer, partitions).items()}


def committed_with_notes(consumer: Consumer, partitions: Iterable[int]) -> dict[tuple[str, int], tuple[int, str]]:
    """The same, and with each offset what was noted with it: Kafka's offset metadata.

    A group whose coordinator is just starting is asked again for `LEADER_TIMEOUT_S`.
    Raises: Unavailable, Fenced.
    """
    asked = [TopicPartition(topic, p) for p in partitions for topic in SUBMISSION_TOPICS]
    deadline = time.monotonic() + LEADER_TIMEOUT_S
    while True:
        try:
            answered = consumer.committed(asked, timeout=ANSWER_TIMEOUT_S)
            break
        except KafkaException as exc:
            if exc.args[0].code() not in _NO_COORDINATOR or time.monotonic() > deadline:
                raise error(exc) from exc
        time.sleep(_POLL_S)
    positions: dict[tuple[str, int], tuple[int, str]] = {}
    for answer in answered:
        if answer.error is not None:
            raise error_of(answer.error)
        offset = 0 if answer.offset == OFFSET_INVALID else answer.offset
        positions[answer.topic, answer.partition] = offset, answer.metadata or ""
    return positions


def await_stable(base: Config, partitions: Iterable[tuple[str, int]]) -> None:
    """Wait until no transaction is open over what these partitions hold now.

    A group's committed offsets can be answered while the markers of the same transaction are still on their way
    to its output partitions, one after the other: ask for those first, then wait here, then read.

    Raises: Unavailable ``kafka.unstable`` if one stays open; Fenced.
    """
    stable, latest = reader(base), reader(base, isolation_level="read_uncommitted")
    deadline = time.monotonic() + STABLE_TIMEOUT_S
    try:
        for topic, partition in partitions:
            end = ends(latest, topic, partition)[1]
            while ends(stable, topic, partition)[1] < end:
                if time.monotonic() > deadline:
                    raise Unavailable("kafka.unstable", _hanging(topic, partition))
                time.sleep(_POLL_S)
    finally:
        stable.close()
        latest.close()


def _hanging(topic: str, partition: int) -> str:
    return (
        f"a transaction on {topic}/{partition} doesn't end; if this stays, find it with Kafka's own"
        " `kafka-transactions.sh find-hanging` and end it with `abort`"
    )
