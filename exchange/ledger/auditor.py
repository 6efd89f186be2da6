"""Auditing a running exchange: the cut taken from Kafka, and the topics re-read up to it.

Guarantees: the hop may go on meanwhile. The committed offsets are taken first (the coordinator answers only when
no transaction over them is pending); then every topic of the hop's is waited for until what was written by that
moment is visible, since a transaction's markers reach its partitions one by one.

Does not commit, join the group or write anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from exchange.agencies import Directory, Level
from exchange.backbone.clients import Config, error, error_of, reader
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.reading import Read, ends, partitions_of, read_to_end
from exchange.errors import Unavailable
from exchange.ledger.books import Balance
from exchange.ledger.cut import Cut
from exchange.ledger.hop_records import DEAD_LETTERS, DELTAS, STORE, TRACE
from exchange.ledger.reconcile import reconcile
from exchange.ledger.recount import inbox_of
from exchange.signatures import PublicKey
from exchange.statements import SUBMISSION_TOPICS

ANSWER_TIMEOUT_S = 30.0
STABLE_TIMEOUT_S = 30.0
"""A transaction ends within 3 s; far longer means that the cluster doesn't end them."""
_STABLE_POLL_S = 0.05


def audit(base: Config, directory: Directory | PublicKey, group: str = "hop") -> Balance:
    """Audit everything that the hop's `group` has committed.

    `directory`: one that was read at least as far as the hop, or the registrar's key, to read it from its topic
    after the cut, which is always far enough.

    Raises: Unavailable when Kafka doesn't answer, or ``directory.behind``; InvariantBroken for a directory
        statement that isn't the registrar's.
    """
    cut = take_cut(base, group)
    if not isinstance(directory, Directory):
        log = DirectoryLog(base, directory)
        log.close()
        directory = log.directory
    source = KafkaSource(base)
    try:
        return reconcile(cut, source, directory)
    finally:
        source.close()


class KafkaSource:
    """The topics as they are kept; `close` it."""

    def __init__(self, base: Config) -> None:
        self._base = base
        self._asking = reader(base)

    def read(self, topic: str, partition: int) -> Iterator[Read]:
        """Yield the records of one partition, from the oldest kept to the end of its log."""
        oldest, end = ends(self._asking, topic, partition)
        if oldest < end:
            for portion in read_to_end(self._base, {(topic, partition): oldest}):
                yield from portion

    def close(self) -> None:
        """Let go of the connection."""
        self._asking.close()


def take_cut(base: Config, group: str) -> Cut:
    """Take the committed offsets, and wait until all that belongs to them can be read.

    Raises: Unavailable ``kafka.unstable`` if transactions stay open; other Unavailable, Fenced.
    """
    stable = reader(base, group_id=group)
    latest = reader(base, isolation_level="read_uncommitted")
    try:
        keyed = len(partitions_of(stable, TRACE))
        inboxes = len(partitions_of(stable, inbox_of(Level.CENTRAL)))
        inputs = [TopicPartition(topic, p) for p in range(keyed) for topic in SUBMISSION_TOPICS]
        next_offsets = _committed(stable, inputs)
        openings = {(tp.topic, tp.partition): ends(stable, tp.topic, tp.partition)[0] for tp in inputs}
        outputs = [TopicPartition(topic, p) for topic in (TRACE, DEAD_LETTERS, DELTAS, STORE) for p in range(keyed)]
        outputs += [TopicPartition(inbox_of(level), p) for level in Level for p in range(inboxes)]
        _await_stable(stable, latest, outputs)
        return Cut(keyed, inboxes, next_offsets, openings)
    finally:
        stable.close()
        latest.close()


def _committed(consumer: Consumer, inputs: list[TopicPartition]) -> dict[tuple[str, int], int]:
    try:
        answered = consumer.committed(inputs, timeout=ANSWER_TIMEOUT_S)
    except KafkaException as exc:
        raise error(exc) from exc
    found: dict[tuple[str, int], int] = {}
    for answer in answered:
        if answer.error is not None:
            raise error_of(answer.error)
        found[answer.topic, answer.partition] = 0 if answer.offset == OFFSET_INVALID else answer.offset
    return found


def _await_stable(stable: Consumer, latest: Consumer, outputs: Iterable[TopicPartition]) -> None:
    deadline = time.monotonic() + STABLE_TIMEOUT_S
    for partition in outputs:
        end = ends(latest, partition.topic, partition.partition)[1]
        while ends(stable, partition.topic, partition.partition)[1] < end:
            if time.monotonic() > deadline:
                raise Unavailable("kafka.unstable", f"a transaction on {partition.topic} doesn't end")
            time.sleep(_STABLE_POLL_S)
