"""PostgreSQL goes away under load: documents flow on, and the trace store catches up to what a rebuild gives."""

from __future__ import annotations

import pytest

from exchange.local.postgres import PostgresServer
from exchange.local.services import up
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_rebuild import rebuild
from exchange.views.trace_store import TraceStore
from tests.support.load import Loaded
from tests.support.trace_world import running
from tests.support.workers import Worker, crew

pytestmark = pytest.mark.fault


def test_documents_flow_on_without_the_database(loaded: Loaded) -> None:
    world = loaded.world
    store = TraceStore(world.database_url)
    with crew(world, Worker(world, "hop-1")), running(TraceProjection(world.base, store)):
        with loaded.load():
            loaded.await_progress(100)
            with world.home.locked():
                PostgresServer(world.home).stop()
            loaded.await_progress(300)
            up(world.home)
            loaded.await_progress(100)
        balance = loaded.balanced()
    TraceProjection(world.base, store).catch_up()
    rebuilt = rebuild(world.base, store.database_url)
    assert rebuilt.differences() == []
    assert rebuilt.after["events"].rows == balance.total.records.submitted
