"""Urgent first: what of each lane comes into a batch, and that nothing of an earlier assignment does."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from exchange.backbone import lanes as module
from exchange.backbone.lanes import BATCH_RECORDS_MAX, BATCH_RECORDS_SHORT, BULK_SHARE, Lanes
from exchange.statements import SUBMISSION_TOPICS, Topic

POSITIONS = {(topic, partition): 7 for topic in SUBMISSION_TOPICS for partition in (0, 1)}


class Log:
    """Stands for a consumer: how many records wait in it, and what it is assigned."""

    def __init__(self) -> None:
        self.waiting = 0
        self.assigned: list[tuple[str, int, int]] = []
        self.on_close: Callable[[], object] = int

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these, from there."""
        self.assigned = [(at.topic, at.partition, at.offset) for at in partitions]

    def close(self) -> None:
        """Tell of what is lost, and be of no use any more."""
        self.on_close()
        self.assign = self._closed  # type: ignore[method-assign]

    def _closed(self, partitions: list[TopicPartition]) -> None:
        raise RuntimeError("Consumer closed")

    def consume(self, most: int, timeout: float) -> list[int]:
        """So many at most."""
        assert timeout >= 0
        given, self.waiting = min(most, self.waiting), max(self.waiting - most, 0)
        return [0] * given


@pytest.fixture
def member() -> Log:
    """The member of the group."""
    return Log()


@pytest.fixture
def express() -> Log:
    """The consumer of the urgent lane."""
    return Log()


@pytest.fixture
def lanes(member: Log, express: Log, monkeypatch: pytest.MonkeyPatch) -> Lanes:
    """Both of them, before any assignment."""
    monkeypatch.setattr(module, "reader", lambda _: express)
    return Lanes(cast("Consumer", member), {})


def test_urgent_records_come_first_and_leave_a_fifth_of_each_batch_to_the_others(lanes: Lanes, express: Log) -> None:
    express.waiting = 10_000
    for _ in range(10):
        most = lanes.batch_records_max
        assert most - len(lanes.urgent(most)) == most // BULK_SHARE


def test_each_lane_is_read_by_its_own_consumer_from_its_position(lanes: Lanes, member: Log, express: Log) -> None:
    lanes.start(POSITIONS)
    assert express.assigned == [(Topic.DOCUMENTS_URGENT, 0, 7), (Topic.DOCUMENTS_URGENT, 1, 7)]
    assert {*member.assigned, *express.assigned} == {(*at, 7) for at in POSITIONS}
    assert not {*member.assigned} & {*express.assigned}


def test_a_lost_assignment_ends_the_urgent_lane_too(lanes: Lanes, member: Log, express: Log) -> None:
    lanes.start(POSITIONS)
    lanes.lose()
    assert express.assigned == []
    lanes.start(POSITIONS)
    lanes.stop()
    assert express.assigned == member.assigned == []


def test_what_the_member_tells_while_it_closes_is_heard(lanes: Lanes, member: Log, express: Log) -> None:
    lanes.start(POSITIONS)
    member.on_close = lanes.lose
    lanes.close()
    assert express.assigned == []


def test_batches_are_short_while_urgent_records_come(lanes: Lanes, express: Log) -> None:
    assert lanes.urgent(BATCH_RECORDS_MAX) == []
    assert lanes.batch_records_max == BATCH_RECORDS_MAX
    express.waiting = 1
    assert len(lanes.urgent(BATCH_RECORDS_MAX)) == 1
    assert lanes.batch_records_max == BATCH_RECORDS_SHORT
