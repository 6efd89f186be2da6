"""How far the hop is behind: what lies in the submission topics beyond its committed offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from exchange.backbone.clients import Config, error, reader
from exchange.backbone.offsets import committed, ends
from exchange.errors import Unavailable
from exchange.statements import SUBMISSION_TOPICS

POLL_S = 0.1


def hop_lag(base: Config, group: str, partitions: int) -> dict[str, int]:
    """Records not yet committed by the hop's group, by submission topic. Raises: Unavailable."""
    consumer = reader(base, group_id=group)
    try:
        return _lag(consumer, partitions)
    finally:
        consumer.close()


def await_hop(
    base: Config, group: str, partitions: int, timeout_s: float, told: Callable[[int], None] = lambda _: None
) -> None:
    """Wait until the hop has dealt with everything that was submitted by now.

    `told`: called with the lag each time it is looked at. Raises: Unavailable ``hop.behind`` after `timeout_s`.
    """
    consumer = reader(base, group_id=group)
    deadline = time.monotonic() + timeout_s
    try:
        while lag := sum(_lag(consumer, partitions).values()):
            told(lag)
            if time.monotonic() > deadline:
                raise Unavailable(
                    "hop.behind", f"{lag} records still wait after {timeout_s:.0f} s; is `exchange run` on?"
                )
            time.sleep(POLL_S)
    finally:
        consumer.close()


def _lag(consumer: Consumer, partitions: int) -> dict[str, int]:
    lag = dict.fromkeys(SUBMISSION_TOPICS, 0)
    for (topic, _), one in behind(consumer, partitions).items():
        lag[topic] += one.waiting
    return lag


class Behind(NamedTuple):
    """Of one source partition: the group's next offset, and how many offsets lie beyond it."""

    next_offset: int
    waiting: int


def behind(consumer: Consumer, partitions: int) -> dict[tuple[str, int], Behind]:
    """How far the consumer's group is behind in each source partition. Raises: Unavailable, Fenced."""
    found = {}
    for (topic, partition), position in committed(consumer, range(partitions)).items():
        low, high = ends(consumer, topic, partition)
        found[topic, partition] = Behind(position, max(high - max(position, low), 0))
    return found


class CommitAges:
    """Since when nothing was committed though something waits: what a lag alone doesn't tell of a group that is stuck.

    Seconds of one clock; 0 while nothing waits, and at the first look.
    """

    def __init__(self) -> None:
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}

    def look(self, found: Mapping[tuple[str, int], Behind], now_s: float) -> dict[tuple[str, int], float]:
        """The ages as of now, by source partition."""
        ages = {}
        for place, one in found.items():
            next_offset, since_s = self._moved.get(place, (-1, now_s))
            if one.next_offset != next_offset or not one.waiting:
                since_s = now_s
            self._moved[place] = one.next_offset, since_s
            ages[place] = now_s - since_s
        return ages


def await_members(admin: AdminClient, group: str, members: int, timeout_s: float) -> None:
    """Wait until the group is stable with at least so many members; Unavailable ``hop.absent`` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            described = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
        except KafkaException as exc:
            raise error(exc) from exc
        if described.state == ConsumerGroupState.STABLE and len(described.members) >= members:
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                "hop.absent", f"{len(described.members)} of {members} workers are there, {described.state.name}"
            )
        time.sleep(POLL_S)
