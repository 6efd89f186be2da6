"""Three brokers, three replicas, two in sync: one of them is killed under load, and nothing that was taken is lost."""

from __future__ import annotations

import pytest

from exchange.local.kafka import KafkaCluster
from exchange.local.services import up
from tests.fault.conftest import a_world
from tests.support.load import Loaded
from tests.support.workers import Worker, supervised

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

NODES = 3


def test_one_broker_of_three_killed_under_load() -> None:
    with a_world(nodes=NODES) as world:
        topics = world.admin.list_topics(timeout=10).topics
        partitions = [part for name in ("documents", "trace", "store") for part in topics[name].partitions.values()]
        assert {len(part.replicas) for part in partitions} == {NODES}
        loaded = Loaded(world)
        with supervised(world, Worker(world, "hop-1"), Worker(world, "hop-2")):
            with loaded.load():
                loaded.await_progress(200)
                KafkaCluster(world.home, NODES).kill(1)
                loaded.await_progress(200)
                up(world.home, nodes=NODES)
                loaded.await_progress(200)
            loaded.balanced()
