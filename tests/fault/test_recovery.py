"""How fast a dead worker's partitions go on, and that a recovery that dies itself does no harm."""

from __future__ import annotations

import signal
import time

import pytest

from exchange.backbone.changelog import whole_from
from exchange.backbone.clients import reader
from exchange.backbone.hop import GROUP
from exchange.backbone.offsets import committed_with_notes
from exchange.cli.world import World
from exchange.local.waiting import wait_until
from tests.support.load import Loaded, next_offsets
from tests.support.workers import WITHIN_S, Worker, await_owners, crew

pytestmark = pytest.mark.fault

RECOVERY_S_MAX = 10.0


def recovery_s(loaded: Loaded, partitions: set[int], killed: float) -> float:
    """Seconds from `killed` (monotonic) to the first commit of each of these partitions."""
    before = next_offsets(loaded.world)

    def all_went_on() -> bool:
        now = next_offsets(loaded.world)
        return partitions <= {p for (topic, p), offset in now.items() if offset > before[topic, p]}

    assert wait_until(all_went_on, WITHIN_S), f"partitions {partitions} stand still"
    return time.monotonic() - killed


def test_a_killed_workers_partitions_go_on_within_10_s(loaded: Loaded) -> None:
    victim, other = Worker(loaded.world, "hop-1"), Worker(loaded.world, "hop-2")
    with crew(loaded.world, victim, other):
        partitions = await_owners(loaded.world, "hop-1", "hop-2")["hop-1"]
        with loaded.load():
            loaded.await_progress(100)
            victim.signal(signal.SIGKILL)
            taken_over_s = recovery_s(loaded, partitions, time.monotonic())
            victim.start()
            partitions = await_owners(loaded.world, "hop-1", "hop-2")["hop-1"]
            loaded.await_progress(100)
            victim.signal(signal.SIGKILL)
            killed = time.monotonic()
            victim.ends()
            victim.start()
            restarted_s = recovery_s(loaded, partitions, killed)
        print(f"taken over after {taken_over_s:.1f} s, restarted after {restarted_s:.1f} s")  # noqa: T201  pytest -s
        assert max(taken_over_s, restarted_s) <= RECOVERY_S_MAX
        loaded.balanced()


def test_a_restore_begins_where_the_last_whole_sweep_did_and_no_id_is_forgotten(loaded: Loaded) -> None:
    worker = Worker(loaded.world, "hop-1")
    with crew(loaded.world, worker):
        await_owners(loaded.world, "hop-1")
        with loaded.load():
            assert wait_until(lambda: all(noted(loaded.world).values()), WITHIN_S), noted(loaded.world)
            worker.signal(signal.SIGKILL)
            worker.ends()
            left, told_before = noted(loaded.world), len(worker.output_file.read_bytes())
            worker.start()
            loaded.await_progress(100)
        loaded.balanced()
        told = worker.output_file.read_bytes()[told_before:].decode()
        assert f"whole_from={left}" in told


def noted(world: World) -> dict[int, int]:
    """Where a restore of each partition would begin, as noted with the committed offsets."""
    asking, partitions = reader(world.base, group_id=GROUP), range(world.layout.keyed)
    try:
        notes = {at: note for at, (_, note) in committed_with_notes(asking, partitions).items()}
    finally:
        asking.close()
    return {partition: whole_from(notes, partition) for partition in partitions}


def test_a_worker_killed_while_it_restores_leaves_nothing_half_restored(loaded: Loaded) -> None:
    healthy = Worker(loaded.world, "hop-1")
    doomed = Worker(loaded.world, "hop-1", "--restoring", "kill", label="doomed")
    with crew(loaded.world, healthy):
        await_owners(loaded.world, "hop-1")
        with loaded.load():
            loaded.await_progress(100)
            healthy.signal(signal.SIGKILL)
            healthy.ends()
            for _ in range(2):
                with crew(loaded.world, doomed):
                    assert doomed.ends() == -signal.SIGKILL
            healthy.start()
            loaded.await_progress(100)
        loaded.balanced()


def test_what_others_did_while_a_worker_slept_in_its_restore_is_no_bug(loaded: Loaded) -> None:
    slow = Worker(loaded.world, "hop-1", "--restoring", "stop", label="slow")
    other = Worker(loaded.world, "hop-2")
    with crew(loaded.world, slow):
        with loaded.load():
            assert wait_until(lambda: slow.is_stopped, WITHIN_S), slow.output()
            with crew(loaded.world, other):
                await_owners(loaded.world, "hop-2")
                loaded.await_progress(100)
                slow.signal(signal.SIGCONT)
                assert wait_until(lambda: "kafka.moved_on" in slow.output(), WITHIN_S), slow.output()
                await_owners(loaded.world, "hop-1", "hop-2")
                loaded.await_progress(100)
            loaded.await_progress(100)
            assert slow.exit_code is None
        loaded.balanced()
