"""A worker of the hop that can be told to die, to stop or to stumble: ``python -m tests.fault.worker``.

Arguments: the home, the worker's name, the file in which it finds its plan (see `Worker.plan`). Then, for a bug of
our own, ``--bug-in gate|decide --marked TEXT`` makes that step fail on records that hold the text; ``--poll-s`` makes
it collect a batch for so long, that whatever happens, happens meanwhile.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

from exchange.backbone import hop, verifying
from exchange.cli.running import make_hop, run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.local.home import Home
from exchange.pipeline.decide import Decisions


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


def stumble(step: str, marked: bytes) -> None:
    """Put a bug into the gate or the decision: it fails on records that hold `marked`."""
    gate, decide = verifying.admit, Decisions.decide

    def buggy_gate(value: bytes, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        if marked in value:
            raise ZeroDivisionError("a bug of ours, in the gate")
        return gate(value, *rest, **named)

    def buggy_decide(self: Decisions, submission: Any, verdict: Any) -> None:  # noqa: ANN401
        if marked in submission.value:
            raise KeyError("a bug of ours, in the decision")
        decide(self, submission, verdict)

    if step == "gate":
        verifying.admit = buggy_gate
    else:
        Decisions.decide = buggy_decide  # type: ignore[method-assign]


def main() -> None:
    """Run until SIGTERM, or until the plan comes true."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("name")
    parser.add_argument("plan", type=Path)
    parser.add_argument("--bug-in", choices=["gate", "decide"])
    parser.add_argument("--marked", default="")
    parser.add_argument("--poll-s", type=float, default=hop.POLL_S)
    asked = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if asked.bug_in:
        stumble(asked.bug_in, asked.marked.encode())
    hop.POLL_S = asked.poll_s
    stop, world = stop_on_signals(), World(Home(asked.home))
    run_to_its_end(lambda: make_hop(world, asked.name, Planned(asked.plan)).run(stop))


if __name__ == "__main__":
    main()
