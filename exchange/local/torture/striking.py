"""Carrying out a schedule on the processes of a home.

Guarantees: whoever was stopped is continued, and a service that was taken away is up again, when `strike` returns or
raises, however it ends. Workers and views are not brought back here: their crew does that.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from threading import Event

import psutil

from exchange.errors import Unavailable
from exchange.local.home import Home
from exchange.local.processes import ChildProcess, stop_together
from exchange.local.services import up
from exchange.local.torture.schedule import SERVICES, Stroke

UP_TRIES = 3
"""Under load a start may take longer than it may; then once more."""

LATE_S_MAX = 2.0
"""A stroke that is late by more is missed: its victims have just come back, and shall have some rest."""

Told = Callable[[Stroke, str], None]
"""Told each stroke as it is ``struck`` or ``missed``, and when it is ``over``; from several threads."""


class Striking:
    """Strikes in one home. `told`: of each stroke."""

    def __init__(self, home: Home, told: Told) -> None:
        self._home = home
        self._told = told

    def strike(self, strokes: Sequence[Stroke], began: float, over: Event) -> None:
        """Carry out the strokes of one turn, their times counted from `began` (monotonic), until `over` is set.

        Raises: Unavailable when a service can't be brought up again.
        """
        for stroke in strokes:
            ahead_s = began + stroke.at_s - time.monotonic()
            if over.wait(max(ahead_s, 0.0)) or ahead_s < -LATE_S_MAX:
                self._told(stroke, "missed")  # the one before it took too long
            elif stroke.victim in SERVICES:
                self._strike_service(stroke, over)
            else:
                self._strike_ours(stroke, over)

    def _strike_ours(self, stroke: Stroke, over: Event) -> None:
        process = self._child(stroke).process()
        if process is None:
            self._told(stroke, "missed")
            return
        self._told(stroke, "struck")
        with contextlib.suppress(psutil.NoSuchProcess):
            if stroke.act == "stop":
                self._stopped([process], stroke, over)
            else:
                process.send_signal(signal.SIGKILL if stroke.act == "kill" else signal.SIGTERM)
        self._told(stroke, "over")

    def _strike_service(self, stroke: Stroke, over: Event) -> None:
        child = self._child(stroke)
        process = child.process()
        self._told(stroke, "missed" if process is None else "struck")
        if process is not None and stroke.act == "stop":
            with contextlib.suppress(psutil.NoSuchProcess):
                self._stopped([process, *process.children(recursive=True)], stroke, over)
        else:
            try:
                with self._home.locked():
                    if stroke.act == "end":
                        stop_together([child])
                    else:
                        child.kill()
                over.wait(stroke.for_s)
            finally:
                self._bring_up()
        self._told(stroke, "over")

    def _stopped(self, family: Sequence[psutil.Process], stroke: Stroke, over: Event) -> None:
        try:
            _signal(family, signal.SIGSTOP)
            over.wait(stroke.for_s)
        finally:
            _signal(family, signal.SIGCONT)

    def _bring_up(self) -> None:
        for remaining in reversed(range(UP_TRIES)):
            try:
                up(self._home)
                return
            except Unavailable:
                if not remaining:
                    raise

    def _child(self, stroke: Stroke) -> ChildProcess:
        # The signals by which Kafka and PostgreSQL end in good order.
        ends_by = signal.SIGINT if stroke.victim == "postgres" else signal.SIGTERM
        return ChildProcess(stroke.victim, self._home.run, ends_by)


def _signal(family: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
