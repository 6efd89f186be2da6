"""Urgent first, in one consumer: when bulk rests, when it has its turn, and what is forgotten at an assignment."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from exchange.backbone.lanes import BATCH_RECORDS_MAX, BATCH_RECORDS_SHORT, BULK_SHARE, Lanes
from exchange.pipeline.submission import Submission
from exchange.statements import SUBMISSION_TOPICS, Topic

Positions = dict[tuple[str, int], int]


class Log:
    """Stands for the consumer: what lies in each log, and which partitions are paused."""

    def __init__(self) -> None:
        self.ends: Positions = {(topic, 0): 0 for topic in SUBMISSION_TOPICS}
        self.paused: set[str] = set()

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        """The last end that a fetch told, without asking the broker."""
        assert cached
        return 0, self.ends[partition.topic, partition.partition]

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Fetch no more of these."""
        self.paused |= {partition.topic for partition in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Fetch these again."""
        self.paused -= {partition.topic for partition in partitions}


@pytest.fixture
def log() -> Log:
    """A partition of each submission topic, all empty."""
    return Log()


def lanes_of(log: Log, positions: Positions) -> Lanes:
    """The lanes right after an assignment."""
    return Lanes(cast("Consumer", log), positions)


def at_the_start() -> Positions:
    """Nothing is read yet."""
    return {(topic, 0): 0 for topic in SUBMISSION_TOPICS}


def turn(lanes: Lanes, log: Log, positions: Positions) -> str:
    """One batch as the hop reads it: of a log that isn't paused, the urgent one first; returns its topic."""
    lanes.arrange(positions)
    wanted = next(t for t in SUBMISSION_TOPICS if t not in log.paused and log.ends[t, 0] > positions[t, 0])
    if Topic.DOCUMENTS not in log.paused and log.ends[Topic.DOCUMENTS, 0] > positions[Topic.DOCUMENTS, 0]:
        wanted = Topic.DOCUMENTS  # the client gives what it likes of what isn't paused: the worst case for urgent ones
    batch = [Submission(wanted, 0, positions[wanted, 0], 0, None, b"")]
    positions[wanted, 0] += 1
    lanes.served(batch, positions)
    return wanted


def test_urgent_first_but_bulk_keeps_one_batch_in_five(log: Log) -> None:
    log.ends[Topic.DOCUMENTS_URGENT, 0] = log.ends[Topic.DOCUMENTS, 0] = 1_000
    positions = at_the_start()
    lanes = lanes_of(log, positions)
    topics = [turn(lanes, log, positions) for _ in range(10 * BULK_SHARE)]
    assert topics == [*[Topic.DOCUMENTS_URGENT] * (BULK_SHARE - 1), Topic.DOCUMENTS] * 10


def test_bulk_flows_while_no_urgent_record_waits(log: Log) -> None:
    log.ends[Topic.DOCUMENTS, 0] = 10
    positions = at_the_start()
    lanes = lanes_of(log, positions)
    assert {turn(lanes, log, positions) for _ in range(10)} == {Topic.DOCUMENTS}
    assert log.paused == set()


def test_urgent_records_that_were_read_before_the_start_do_not_starve_bulk(log: Log) -> None:
    """What waits is told from our own committed position, not from the log's having records."""
    log.ends[Topic.DOCUMENTS_URGENT, 0] = log.ends[Topic.DOCUMENTS, 0] = 7
    positions = at_the_start() | {(Topic.DOCUMENTS_URGENT, 0): 7}
    lanes = lanes_of(log, positions)
    lanes.arrange(positions)
    assert log.paused == set()


def test_statuses_never_rest(log: Log) -> None:
    log.ends[Topic.DOCUMENTS_URGENT, 0] = 1
    positions = at_the_start()
    lanes_of(log, positions).arrange(positions)
    assert log.paused == {Topic.DOCUMENTS, Topic.REPORTS}


def test_a_new_assignment_begins_with_nothing_paused_and_pauses_again(log: Log) -> None:
    """Pause survives a rebalance silently: so whoever reads anew resumes first, and the new lanes know of no pause."""
    log.ends[Topic.DOCUMENTS_URGENT, 0] = 5
    positions = at_the_start()
    lanes_of(log, positions).arrange(positions)
    assert Topic.DOCUMENTS in log.paused
    log.paused.clear()  # as `Hop._read_from` does
    lanes_of(log, positions).arrange(positions)
    assert Topic.DOCUMENTS in log.paused


def test_batches_are_short_while_urgent_records_come(log: Log) -> None:
    positions = at_the_start()
    lanes = lanes_of(log, positions)
    assert lanes.batch_records_max == BATCH_RECORDS_MAX
    lanes.served([Submission(Topic.DOCUMENTS_URGENT, 0, 0, 0, None, b"")], positions)
    assert lanes.batch_records_max == BATCH_RECORDS_SHORT
