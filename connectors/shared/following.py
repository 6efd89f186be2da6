"""The loop of a connector: turn after turn until it is told to end.

Guarantees: a world that is away (`Unavailable`, an agency that isn't let in, a disk that refuses) is waited for, with
pauses that grow and vary; whatever else is raised is a bug and ends the loop. SIGINT and SIGTERM let the turn that is
on its way come to its end.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from connectors.shared.figures import Figures
from exchange.errors import ExchangeError, Unavailable
from exchange.sdk import GatewayRefused

EVERY_S = 2.0
PAUSE_S_MAX = 60.0
NOT_LET_IN = (401, 403)

log = structlog.get_logger(__name__)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM until the block ends."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(
    turn: Callable[[], bool], stop: threading.Event, figures: Figures, wait: Callable[[float], object] | None = None
) -> None:
    """Call `turn` until `stop`; True: it did something, go on at once. `wait`: for a while, or until there is work.

    Raises: what a turn raised, if waiting won't help.
    """
    idle = wait or stop.wait
    pause_s = EVERY_S
    while not stop.is_set():
        try:
            is_busy = turn()
        except (Unavailable, GatewayRefused, OSError, sqlite3.OperationalError) as exc:
            if not is_the_worlds(exc):
                raise
            code = exc.code if isinstance(exc, ExchangeError) else "disk.refused"
            log.warning("connector.turn_broken_off", code=code, detail=str(exc)[:500])
            figures.failures.labels(code).inc()
            stop.wait(random.uniform(pause_s / 2, pause_s))  # noqa: S311  to spread load
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
            continue
        figures.turned()
        pause_s = EVERY_S
        if not is_busy:
            idle(EVERY_S)


def is_the_worlds(exc: Exception) -> bool:
    """Whether it helps to wait: not where the gateway refused this one thing."""
    return not isinstance(exc, GatewayRefused) or exc.status in NOT_LET_IN
