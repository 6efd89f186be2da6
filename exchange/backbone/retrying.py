"""Working on while the world is away: again after each `Unavailable`, with a pause that grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

import structlog

from exchange.errors import Unavailable

BACKOFF_S_MIN, BACKOFF_S_MAX = 0.1, 5.0

log = structlog.get_logger(__name__)


def retried(
    work: Callable[[], None], stop: Event, patience_s: float, so_far: Callable[[], int], name: str = "waiting"
) -> None:
    """Do `work`, again after each Unavailable, until it ends or `stop` is set.

    `so_far`: grows when something went forward. `name`: of the log's event.
    Raises: Unavailable when nothing went forward for `patience_s`; whatever else `work` raises.
    """
    failures, before, moved = 0, so_far(), time.monotonic()
    while not stop.is_set():
        try:
            work()
            return
        except Unavailable as exc:
            now = time.monotonic()
            if so_far() != before:
                failures, before, moved = 0, so_far(), now
            if now - moved > patience_s:
                raise
            pause_s = min(BACKOFF_S_MIN * 2**failures, BACKOFF_S_MAX)
            failures += 1
            log.warning(name, code=exc.code, detail=exc.detail, pause_s=pause_s)
        stop.wait(pause_s)
