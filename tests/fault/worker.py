"""A worker of the hop that can be told to die, to stop or to stumble: ``python -m tests.fault.worker``.

Arguments: the home, the worker's name, the file in which it finds its plan (see `Worker.plan`; beside it lie the files
of `Worker.dawdle` and `Worker.is_restoring`). Then, for a bug of our own, ``--bug-in gate|decide --marked TEXT`` makes
that step fail on records that hold the text; ``--transaction-ms`` keeps its transactions open for so long after it fell
asleep; ``--restoring kill|stop`` kills it in the midst of a restore, or stops it at its beginning; ``--through`` is the
address by which it reaches the broker; ``--clock`` a file that holds how many seconds its clock is ahead. Its sweeps
begin early, so that they run through all that is done to it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import patch

import structlog
from confluent_kafka import Consumer, Message

from exchange.backbone import changelog, clients, hop, verifying
from exchange.backbone.clients import connection, member
from exchange.backbone.offsets import committed_with_notes
from exchange.backbone.reading import Read, read_to_end
from exchange.cli.running import make_hop, run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.local.home import Home
from exchange.pipeline import sweep
from exchange.pipeline.decide import Decisions
from exchange.signatures import enter


class Planned:
    """The probe: follows the plan in a file, once it is there."""

    def __init__(self, plan: Path) -> None:
        self._file = plan
        self._step, self._act, self._left = "", "", 0

    def __call__(self, step: str) -> None:
        if self._file.exists():
            plan = json.loads(self._file.read_text(encoding="utf-8"))
            self._step, self._act, self._left = plan["step"], plan["act"], plan["nth"]
            self._file.unlink()
        if step != self._step:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL if self._act == "kill" else signal.SIGSTOP)


class Dawdling:
    """A consumer that, while a file is there and once it has read something, reads on until partitions move."""

    def __init__(self, consumer: Consumer, file: Path) -> None:
        self._consumer = consumer
        self._file = file
        self._moves = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._consumer, name)

    def subscribe(self, topics: list[str], **callbacks: Callable[..., None]) -> None:
        """Subscribe, and count how often partitions move."""

        def counted(callback: Callable[..., None]) -> Callable[..., None]:
            def called(*what: Any) -> None:  # noqa: ANN401
                self._moves += 1
                callback(*what)

            return called

        self._consumer.subscribe(topics, **{name: counted(callback) for name, callback in callbacks.items()})

    def consume(self, count: int, timeout: float) -> list[Message]:
        """Read; dawdle."""
        messages = self._consumer.consume(count, timeout)
        if messages and self._file.exists():
            before = self._moves
            while self._moves == before:
                messages += self._consumer.consume(count, timeout=0.05)
            self._file.unlink()
        return messages


def stumble(step: str, marked: bytes) -> None:
    """Put a bug into the gate or the decision: it fails on records that hold `marked`."""
    decide = Decisions.decide

    def buggy_gate(value: bytes, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        if marked in value:
            raise ZeroDivisionError("a bug of ours, in the gate")
        return enter(value, *rest, **named)

    def buggy_decide(self: Decisions, submission: Any, verdict: Any) -> None:  # noqa: ANN401
        if marked in submission.value:
            raise KeyError("a bug of ours, in the decision")
        decide(self, submission, verdict)

    where, name, bug = (verifying, "enter", buggy_gate) if step == "gate" else (Decisions, "decide", buggy_decide)
    patch.object(where, name, bug).start()


def killed_after_a_portion(*where: Any) -> Iterator[list[Read]]:  # noqa: ANN401
    """Read a portion, then SIGKILL."""
    yield next(read_to_end(*where))
    os.kill(os.getpid(), signal.SIGKILL)


def stopped_before(*where: Any) -> Iterator[list[Read]]:  # noqa: ANN401
    """SIGSTOP the first time, then read."""
    if not STOPPED.is_set():
        STOPPED.set()
        os.kill(os.getpid(), signal.SIGSTOP)
    yield from read_to_end(*where)


STOPPED = Event()


def misset(clock: Path) -> None:
    """Let this process's clock be ahead of the machine's by what stands in a file."""
    right = time.time
    time.time = lambda: right() + float(clock.read_text(encoding="utf-8") or 0)


def main() -> None:
    """Run until SIGTERM, or until the plan comes true."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("name")
    parser.add_argument("plan", type=Path)
    parser.add_argument("--bug-in", choices=["gate", "decide"])
    parser.add_argument("--marked", default="")
    parser.add_argument("--restoring", choices=["kill", "stop"])
    parser.add_argument("--through", default="")
    parser.add_argument("--clock", type=Path)
    parser.add_argument("--transaction-ms", type=int, default=clients.TRANSACTION_TIMEOUT_MS)
    asked = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    sweep.BURDEN_MIN, sweep.CARRIED_BYTES = 300, 1500
    if asked.bug_in:
        stumble(asked.bug_in, asked.marked.encode())
    if asked.clock is not None:
        misset(asked.clock)
    clients.TRANSACTION_TIMEOUT_MS = asked.transaction_ms
    dawdling = asked.plan.with_suffix(".dawdle")
    patch.object(hop, "member", lambda *what: Dawdling(member(*what), dawdling)).start()

    def announced(*what: Any) -> dict[tuple[str, int], tuple[int, str]]:  # noqa: ANN401
        asked.plan.with_suffix(".restoring").touch()
        return committed_with_notes(*what)

    patch.object(hop, "committed_with_notes", announced).start()
    if asked.restoring:
        interrupted = killed_after_a_portion if asked.restoring == "kill" else stopped_before
        patch.object(changelog, "read_to_end", interrupted).start()
    stop, world = stop_on_signals(), World(Home(asked.home))
    if asked.through:
        vars(world)["base"] = connection(asked.through)
    run_to_its_end(lambda: make_hop(world, asked.name, Planned(asked.plan)).run(stop))


if __name__ == "__main__":
    main()
