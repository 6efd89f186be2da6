"""A rebuilt trace store is equal row for row, and takes the old one's place under whoever uses it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from exchange.errors import Misconfigured, Unavailable
from exchange.local.services import Services
from exchange.local.waiting import wait_until
from exchange.views.trace_rebuild import fingerprint, rebuild
from tests.support.trace_world import WITHIN_S, World, is_stored, produce, random_life, running, the_path, world_of
from tests.support.traces import G04, H01, H26, accepted

pytestmark = pytest.mark.integration


@pytest.fixture
def world(services: Services) -> Iterator[World]:
    world = world_of(services)
    yield world
    with psycopg.connect(services.database_url) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {world.store.schema} CASCADE".encode())


DOCUMENT = accepted(0, H26, "d-1", [G04, H01])


def filled(world: World) -> None:
    """Fill the trace with the lives of some documents in partition 1, and with others beside it."""
    values, _ = random_life(77)
    produce(world.producer, world.topic, 1, values)
    for offset in range(50):
        world.produce(2, [accepted(offset, H01, f"x-{offset}", [H26])])


def test_a_rebuilt_store_is_equal_row_for_row(world: World) -> None:
    filled(world)
    world.projection().catch_up()
    before = fingerprint(world.store)
    done = rebuild(world.base, world.store.database_url, topic=world.topic, schema=world.store.schema)
    assert done.differences() == []
    assert done.before == done.after == before == fingerprint(world.store)
    assert done.events == before["events"].rows
    assert world.projection().catch_up() == 0


def test_a_rebuild_names_and_heals_what_was_changed(world: World) -> None:
    filled(world)
    world.projection().catch_up()
    before = fingerprint(world.store)
    with world.store.connect() as database:
        database.execute("UPDATE deliveries SET state = 6 WHERE source_offset = 5")
        database.execute("DELETE FROM events WHERE source_offset = 7 AND partition = 2")
    world.produce(2, [accepted(50, H01, "x-50", [H26])])
    done = rebuild(world.base, world.store.database_url, topic=world.topic, schema=world.store.schema)
    assert [line.partition(":")[0] for line in done.differences()] == ["events", "deliveries"]
    assert done.after == before
    assert the_path(world.store, "x-50").document is not None, "it is caught up in the end"


def test_a_store_of_another_layout_is_refused_and_rebuilt(world: World) -> None:
    filled(world)
    world.projection().catch_up()
    before = fingerprint(world.store)
    with world.store.connect() as database:
        database.execute("ALTER TABLE events DROP COLUMN worker")
        database.execute(f"COMMENT ON SCHEMA {world.store.schema} IS 'layout sha256:0'".encode())
    with pytest.raises(Misconfigured, match="another layout: rebuild"):
        world.projection().catch_up()
    done = rebuild(world.base, world.store.database_url, topic=world.topic, schema=world.store.schema)
    assert (done.before, done.after) == (None, before)


def test_a_store_is_rebuilt_under_a_running_projection(world: World) -> None:
    filled(world)
    with running(world.projection()), ThreadPoolExecutor(1) as pool:
        assert wait_until(lambda: is_stored(world, 50), WITHIN_S)
        arguments = (world.base, world.store.database_url)
        for start in range(50, 140, 30):
            done = pool.submit(rebuild, *arguments, topic=world.topic, schema=world.store.schema)
            for offset in range(start, start + 30):
                world.produce(2, [accepted(offset, H01, f"x-{offset}", [H26])])
            assert done.result(WITHIN_S).differences() == []
        assert wait_until(lambda: the_path(world.store, "x-139").document is not None, WITHIN_S)
    world.projection().catch_up()
    last = rebuild(world.base, world.store.database_url, topic=world.topic, schema=world.store.schema)
    assert last.differences() == []
    assert last.after["documents"].rows == 140 + documents_in(77)


def documents_in(seed: int) -> int:
    return len({statement_id for statement_id, _ in random_life(seed)[1]})


def test_a_second_rebuild_waits_for_its_turn(world: World) -> None:
    world.produce(0, [DOCUMENT])
    with psycopg.connect(world.store.database_url) as database:
        database.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"rebuild {world.store.schema}"])
        with pytest.raises(Unavailable, match=r"trace_store.rebuilding"):
            rebuild(world.base, world.store.database_url, topic=world.topic, schema=world.store.schema)
