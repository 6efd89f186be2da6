"""The trace store loses and doubles nothing, whatever dies: sessions, processes, PostgreSQL, Kafka."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from exchange.errors import InvariantBroken
from exchange.local.home import Home
from exchange.local.services import Services, status, up
from exchange.local.waiting import wait_until
from exchange.views.trace_rebuild import rebuild
from exchange.views.tracing import summary
from tests.support import traces
from tests.support.trace_world import WITHIN_S, World, is_stored, running, world_of
from tests.support.traces import G04, H01, H26, accepted

pytestmark = [pytest.mark.integration, pytest.mark.fault]


@pytest.fixture
def world(services: Services) -> Iterator[World]:
    world = world_of(services)
    yield world
    with psycopg.connect(services.database_url) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {world.store.schema} CASCADE".encode())


DOCUMENT = accepted(0, H26, "d-1", [G04, H01])


class Killer:
    """Ends the projection's database session, from outside, the first `left` times that it reaches `step`."""

    def __init__(self, world: World, step: str, left: int) -> None:
        self._world, self._step, self.left = world, step, left
        self._session = 0

    def __call__(self, step: str) -> None:
        with psycopg.connect(self._world.store.database_url, autocommit=True) as database:
            if step == "copied":
                row = database.execute(
                    "SELECT pid FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = %s::regclass",
                    [f"{self._world.store.schema}.events"],
                ).fetchone()
                assert row is not None
                self._session = row[0]
            if step == self._step and self.left:
                self.left -= 1
                killed = database.execute("SELECT pg_terminate_backend(%s, 10000)", [self._session]).fetchone()
                assert killed == (True,)


@pytest.mark.parametrize(("step", "times"), [("copied", 2), ("changed", 2), ("committed", 1)])
def test_a_session_killed_at_any_step_loses_and_doubles_nothing(world: World, step: str, times: int) -> None:
    for offset in range(0, 40, 2):
        document = accepted(offset, H26, f"d-{offset}", [G04])
        world.produce(offset % 4, [document, accepted(offset + 1, H26, f"d-{offset + 1}", [G04, H01])])
        world.produce(offset % 4, [traces.status(offset, 1, document, G04, 1)], "statuses")
    killer = Killer(world, step, times)
    world.projection(killer).catch_up()
    assert killer.left == 0
    assert [world.count(table) for table in ("events", "documents", "deliveries")] == [60, 40, 80]
    assert (summary(world.store).acknowledged, summary(world.store).waiting) == (20, 40)


def test_a_projection_that_dies_after_its_commit_is_gone_on_from(world: World) -> None:
    def die(step: str) -> None:
        if step == "committed":
            raise InvariantBroken("died")

    world.produce(0, [DOCUMENT])
    with pytest.raises(InvariantBroken, match="died"):
        world.projection(die).catch_up()
    assert world.projection().catch_up() == 0
    assert world.count("events") == 1


def test_two_projections_of_one_store_share_the_work(world: World) -> None:
    with running(world.projection()), running(world.projection()):
        for offset in range(0, 60, 2):
            events = [accepted(offset + n, H26, f"d-{offset + n}", [G04]) for n in range(2)]
            world.produce(offset % 4, events)
        assert wait_until(lambda: world.count("events") == 60, WITHIN_S)
    world.projection().catch_up()
    assert [world.count(table) for table in ("events", "documents", "deliveries")] == [60, 60, 60]


@pytest.mark.timeout(300)
def test_services_that_go_and_come_back_lose_and_double_nothing(fresh_home: Home) -> None:
    world = world_of(up(fresh_home))
    documents = [accepted(offset, H26, f"d-{offset}", [G04, H01]) for offset in range(400)]
    with running(world.projection()):
        for round_, victim in enumerate(["postgres", "kafka-1", "postgres"]):
            portion = documents[round_ * 100 : round_ * 100 + 100]
            for document in portion[:50]:
                world.produce(round_, [document])
            victims = [row.pid for row in status(fresh_home) if row.name == victim]
            assert len(victims) == 1
            assert victims[0] is not None
            os.kill(victims[0], signal.SIGKILL)
            assert wait_until(lambda: "crashed" in {row.state for row in status(fresh_home)}, 10)
            if victim == "postgres":
                for document in portion[50:]:
                    world.produce(round_, [document])
            up(fresh_home)
            if victim != "postgres":
                for document in portion[50:]:
                    world.produce(round_, [document])
        world.produce(3, documents[300:])
        assert wait_until(lambda: is_stored(world, 400), 2 * WITHIN_S)
    assert [world.count(table) for table in ("events", "documents", "deliveries")] == [400, 400, 800]
    done = rebuild(world.base, world.store.database_url, topic=world.topic, schema=world.store.schema)
    assert done.differences() == []
