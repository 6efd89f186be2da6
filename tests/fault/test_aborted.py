"""The broker refuses a part of a batch under load: all of it is aborted, read again, and counted once."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from exchange.cli.world import World
from exchange.local.waiting import wait_until
from tests.support.load import Loaded
from tests.support.workers import WITHIN_S, Worker, await_owners, supervised

pytestmark = pytest.mark.fault


def limit_trace_records(world: World, size: int) -> None:
    """Let the broker refuse larger records in the trace."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    trace = ConfigResource(ResourceType.TOPIC, "trace", incremental_configs=[entry])
    for done in world.admin.incremental_alter_configs([trace]).values():
        done.result(10)


def test_a_batch_that_the_broker_refuses_is_aborted_and_read_again(loaded: Loaded) -> None:
    usual = next(int(t.config["max.message.bytes"]) for t in loaded.world.layout.topics if t.name == "trace")
    worker = Worker(loaded.world, "hop-1", label="refused")
    with supervised(loaded.world, worker):
        await_owners(loaded.world, "hop-1")
        with loaded.load():
            loaded.await_progress(100)
            try:
                limit_trace_records(loaded.world, 100)
                assert wait_until(lambda: "kafka.aborted" in worker.output(), WITHIN_S), worker.output()
            finally:
                limit_trace_records(loaded.world, usual)
            loaded.await_progress(100)
        loaded.balanced()
