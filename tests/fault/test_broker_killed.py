"""kill -9 of the only broker under load: everybody waits, it comes back with its data, the books balance."""

from __future__ import annotations

import pytest

from exchange.local.kafka import KafkaCluster
from exchange.local.services import up
from tests.support.load import Loaded
from tests.support.workers import Worker, supervised

pytestmark = pytest.mark.fault


def test_a_broker_killed_under_load_loses_and_doubles_nothing(loaded: Loaded) -> None:
    world = loaded.world
    with supervised(world, Worker(world, "hop-1"), Worker(world, "hop-2")):
        with loaded.load():
            for _ in range(2):
                loaded.await_progress(200)
                KafkaCluster(world.home).kill()
                up(world.home)
            loaded.await_progress(200)
        loaded.balanced()
