"""Workers come and go under load: partitions change hands, and no record is dealt with twice or by nobody."""

from __future__ import annotations

from threading import Event
from unittest.mock import patch

import pytest

from exchange.backbone import hop
from exchange.cli.running import make_hop
from tests.support.load import Loaded
from tests.support.workers import Worker, await_owners, crew

pytestmark = pytest.mark.fault


def test_from_one_worker_to_three_and_back(loaded: Loaded) -> None:
    first, second, third = (Worker(loaded.world, f"hop-{number}") for number in (1, 2, 3))
    with crew(loaded.world, first), loaded.load(), crew(loaded.world, second, third):
        await_owners(loaded.world, "hop-1", "hop-2", "hop-3")
        loaded.await_progress(200)
        second.leave()
        third.leave()
        await_owners(loaded.world, "hop-1")
        loaded.await_progress(200)
    with crew(loaded.world, first):
        loaded.balanced()


def test_partitions_that_move_while_a_batch_is_collected(loaded: Loaded) -> None:
    """What was read before partitions moved is read again by whoever holds them now, not decided as well."""
    first, second = (Worker(loaded.world, f"hop-{number}") for number in (1, 2))
    with crew(loaded.world, first):
        await_owners(loaded.world, "hop-1")
        with loaded.load():
            loaded.await_progress(100)
            first.dawdle()
            with crew(loaded.world, second):
                await_owners(loaded.world, "hop-1", "hop-2")
                loaded.await_progress(100)
                first.dawdle()
                second.leave()
                await_owners(loaded.world, "hop-1")
                loaded.await_progress(100)
        loaded.balanced()


def test_a_worker_that_is_ended_before_it_took_what_it_was_given_ends_in_order(loaded: Loaded) -> None:
    """The client tells of an assignment even while it closes; its group is left by then, and asking for it fails."""
    stop = Event()
    stop.set()
    worker = make_hop(loaded.world, "hop-1")
    with patch.object(hop, "_spare_the_collector", lambda: await_owners(loaded.world, "hop-1")):
        worker.run(stop)
