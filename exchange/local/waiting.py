"""Waiting for a fact, with a bound: how this room and its tests wait, instead of sleeping a while."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.05


def wait_until(fact: Callable[[], bool], timeout_s: float) -> bool:
    """Ask for `fact` again and again; True as soon as it holds, False when it didn't in `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
