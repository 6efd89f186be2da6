"""Workers of the hop for fault tests: real processes, which can be told at which of their steps to die or to stop.

The process is `tests.fault.worker`: the same hop as `exchange worker`, with a probe that reads a *plan* from a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Literal

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from exchange.backbone.hop import GROUP
from exchange.backbone.transaction import STEPS
from exchange.cli.output import NO_WORLD
from exchange.cli.world import World
from exchange.local.home import write_private
from exchange.local.waiting import POLL_S, wait_until

WITHIN_S = 60.0
RESTART_PAUSE_S = 0.5

Act = Literal["kill", "stop", "pass"]
"""What a worker does to itself at the step of its plan: SIGKILL, SIGSTOP, or nothing but to note it."""


class Worker:
    """One process. `name`: its identity in the group and towards the broker; `label`: of its files, if two share it."""

    def __init__(self, world: World, name: str, *arguments: str, label: str | None = None) -> None:
        self.name = name
        self._world = world
        self._label = label or name
        self._arguments = arguments
        self._plan = world.home.run / f"{self._label}.plan"
        self.output_file = world.home.run / f"{self._label}.worker"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        """Start it, or a successor of the same name after it has ended."""
        assert self.exit_code is not None or self._child is None, f"{self._label} still runs"
        for file in (self._plan, self._plan.with_suffix(".dawdle"), self._plan.with_suffix(".restoring")):
            file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.fault.worker", str(self._world.home.folder), self.name, str(self._plan)]
        with self.output_file.open("ab") as output:
            self._child = subprocess.Popen(
                [*command, *self._arguments],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    def plan(self, step: str, act: Act, nth: int = 1) -> None:
        """From now on: do `act` when `step` is reached for the `nth` time."""
        assert step in STEPS
        write_private(self._plan, json.dumps({"step": step, "act": act, "nth": nth}))

    def dawdle(self) -> None:
        """Let its next poll that reads anything last until partitions move."""
        self._plan.with_suffix(".dawdle").touch()

    @property
    def is_restoring(self) -> bool:
        """Whether it has begun to, since its start, and asked for the committed offsets."""
        return self._plan.with_suffix(".restoring").exists()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._child is not None
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; negative: by that signal; None while it lives or before its start."""
        return None if self._child is None else self._child.poll()

    @property
    def is_stopped(self) -> bool:
        """Whether it lies still after a SIGSTOP."""
        return self.exit_code is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def ends(self, within_s: float = WITHIN_S) -> int:
        """Wait for its end; returns the exit code."""
        ended = wait_until(lambda: self.exit_code is not None, within_s)
        assert ended, f"{self._label} did not end\n{self.output()}"
        code = self.exit_code
        assert code is not None
        return code

    def leave(self) -> None:
        """Ask it to end in good order and wait for it; it must."""
        self.signal(signal.SIGTERM)
        assert self.ends() == 0, self.output()

    def destroy(self) -> None:
        """SIGKILL, whatever state it is in."""
        if self._child is not None and self.exit_code is None:
            self._child.kill()
            self._child.wait(10)

    def output(self, characters: int = 3000) -> str:
        """The end of what it wrote."""
        return self.output_file.read_text(encoding="utf-8", errors="replace")[-characters:]


@contextmanager
def crew(world: World, *workers: Worker) -> Iterator[None]:
    """Start these workers; none of them outlives the block."""
    try:
        for worker in workers:
            worker.start()
        yield
    except BaseException:
        for worker in workers:
            sys.stdout.write(
                f"\n{worker.output_file.name}, {worker.exit_code}:\n{worker.output()}\n"
            )  # pytest shows it
        raise
    finally:
        for worker in workers:
            worker.destroy()


def owners(world: World) -> dict[str, set[int]]:
    """Who holds which partitions in a settled group, by the coordinator; empty while it rebalances or is looked for.

    By a client of its own: one that has seen its broker die doesn't find the coordinator again (librdkafka 2.16).
    """
    asking = AdminClient(world.base)
    try:
        described = asking.describe_consumer_groups([GROUP], request_timeout=2)[GROUP].result(10)
    except KafkaException:
        return {}
    if described.state.name != "STABLE":
        return {}
    return {
        member.group_instance_id: {tp.partition for tp in member.assignment.topic_partitions}
        for member in described.members
    }


def await_owners(world: World, *names: str, within_s: float = WITHIN_S) -> dict[str, set[int]]:
    """Wait until exactly these workers share all partitions between them."""
    found: dict[str, set[int]] = {}

    def shared() -> bool:
        nonlocal found
        found = owners(world)
        return set(found) == set(names) and set().union(*found.values()) == set(range(world.layout.keyed))

    assert wait_until(shared, within_s), f"{names} don't share the partitions: {found}"
    return found


@contextmanager
def supervised(world: World, *workers: Worker) -> Iterator[None]:
    """Start these workers and, as `exchange run` does, start again whoever was fenced, found no broker or was killed.

    A worker that ends in any other way fails the test.
    """
    over = Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            for worker in workers:
                code = worker.exit_code
                assert code in {None, NO_WORLD, -signal.SIGKILL}, worker.output()
                if code is not None and not over.wait(RESTART_PAUSE_S):
                    worker.start()

    with crew(world, *workers), ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
        watching.result(WITHIN_S)
