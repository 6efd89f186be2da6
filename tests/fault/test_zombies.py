"""Workers that sleep through their own succession, and two that bear one name: one of them commits, never both."""

from __future__ import annotations

import signal

import pytest

from exchange.cli.output import NO_WORLD
from exchange.local.waiting import wait_until
from tests.support.load import Loaded
from tests.support.workers import WITHIN_S, Worker, await_owners, crew, owners

pytestmark = pytest.mark.fault


def test_a_worker_that_slept_through_a_rebalance_is_fenced_or_rejoins(loaded: Loaded) -> None:
    sleeper, other = Worker(loaded.world, "hop-1"), Worker(loaded.world, "hop-2")
    with crew(loaded.world, sleeper, other):
        await_owners(loaded.world, "hop-1", "hop-2")
        with loaded.load():
            loaded.await_progress(100)
            sleeper.signal(signal.SIGSTOP)
            await_owners(loaded.world, "hop-2")
            loaded.await_progress(100)
            sleeper.signal(signal.SIGCONT)
            woken = wait_until(lambda: sleeper.exit_code is not None or "hop-1" in owners(loaded.world), WITHIN_S)
            assert woken, sleeper.output()
            assert sleeper.exit_code in {None, NO_WORLD}, sleeper.output()
            if sleeper.exit_code is not None:
                sleeper.start()
            await_owners(loaded.world, "hop-1", "hop-2")
            loaded.await_progress(100)
        loaded.balanced()


def asleep_with_its_offsets_sent(loaded: Loaded, zombie: Worker) -> None:
    """Let a worker fall asleep under load when the transaction's offsets are sent."""
    await_owners(loaded.world, "hop-1")
    zombie.plan("offsets_sent", "stop", nth=4)
    assert wait_until(lambda: zombie.is_stopped, WITHIN_S), zombie.output()


def test_a_zombie_whose_transaction_ran_out_is_refused(loaded: Loaded) -> None:
    zombie, successor = Worker(loaded.world, "hop-1"), Worker(loaded.world, "hop-2")
    with crew(loaded.world, zombie), loaded.load():
        asleep_with_its_offsets_sent(loaded, zombie)
        with crew(loaded.world, successor):
            await_owners(loaded.world, "hop-2")
            loaded.await_progress(100)
            zombie.plan("committed", "kill")
            zombie.signal(signal.SIGCONT)
            assert zombie.ends() == NO_WORLD, "it was fenced"
            zombie.start()
            await_owners(loaded.world, "hop-1", "hop-2")
            successor.leave()
        await_owners(loaded.world, "hop-1")
        loaded.await_progress(100)
    with crew(loaded.world, zombie):
        loaded.balanced()


def test_a_zombie_that_commits_after_its_successor_started_is_counted_once(loaded: Loaded) -> None:
    """The group doesn't fence the end of a transaction: the successor has to wait for it before it restores."""
    zombie, successor = Worker(loaded.world, "hop-1", "--transaction-ms", "10000"), Worker(loaded.world, "hop-2")
    with crew(loaded.world, zombie, successor):
        with loaded.load():
            successor.signal(signal.SIGKILL)
            asleep_with_its_offsets_sent(loaded, zombie)
            successor.ends()
            successor.start()
            await_owners(loaded.world, "hop-2")
            assert wait_until(lambda: successor.is_restoring, WITHIN_S)
            zombie.plan("committed", "kill")
            zombie.signal(signal.SIGCONT)
            assert zombie.ends() == -signal.SIGKILL, "it was to commit, and did"
            loaded.await_progress(100)
        loaded.balanced()


def test_an_idle_worker_whose_name_is_taken_ends(loaded: Loaded) -> None:
    first, second = Worker(loaded.world, "hop-1"), Worker(loaded.world, "hop-1", label="hop-1-again")
    with crew(loaded.world, first):
        await_owners(loaded.world, "hop-1")
        with crew(loaded.world, second):
            assert first.ends() == NO_WORLD, first.output()


def test_of_two_workers_with_one_name_the_first_is_fenced(loaded: Loaded) -> None:
    first, second = Worker(loaded.world, "hop-1"), Worker(loaded.world, "hop-1", label="hop-1-again")
    with crew(loaded.world, first):
        await_owners(loaded.world, "hop-1")
        with loaded.load():
            loaded.await_progress(100)
            with crew(loaded.world, second):
                assert first.ends() == NO_WORLD, first.output()
                loaded.await_progress(100)
                first.start()
                assert second.ends() == NO_WORLD, second.output()
            loaded.await_progress(100)
        loaded.balanced()
