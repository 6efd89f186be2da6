"""Ending the process when a call into a client library doesn't return.

librdkafka's ``send_offsets_to_transaction`` can outlast its timeout for ever once its group's coordinator has been
away (its issues 5456 and 5511), and while one worker hangs in it, the whole group waits for that worker to rejoin.

Guarantees: the process is killed as by ``kill -9``, so this is for places where that is safe. Time in which the
process itself didn't run (SIGSTOP, a suspended machine) doesn't count.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import structlog

TICK_S = 0.5

log = structlog.get_logger(__name__)


class Watchdog:
    """Watches the calls of one thread. `patience_s`: longer than any of their own timeouts."""

    def __init__(self, patience_s: float) -> None:
        self._ticks_max = round(patience_s / TICK_S)
        self._ticks = 0
        self._call: str | None = None
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def over(self, call: str) -> Iterator[None]:
        """Watch over the block; `call` names it in the log."""
        self._ticks, self._call = 0, call
        try:
            yield
        finally:
            self._call = None

    def _watch(self) -> None:
        while True:
            time.sleep(TICK_S)
            call = self._call
            if call is None:
                continue
            self._ticks += 1
            if self._ticks > self._ticks_max:
                log.critical("watchdog.stuck", call=call, seconds=self._ticks * TICK_S)
                os.kill(os.getpid(), signal.SIGKILL)
