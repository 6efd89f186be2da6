"""The circuit breaker: a receiver that fails again and again is left alone for a while, then tried with one post.

Pure but for the clock that its caller gives (seconds, monotonic).
"""

from __future__ import annotations

import random

from connectors.webhook.limits import Limits


class Breaker:
    """Closed: all may be posted; open: nothing; half open: one post, which decides."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures = 0
        self._pause_s = limits.open_s_min
        self._until_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it failed so often that it is left alone."""
        return self._failures >= self._limits.failures

    def room(self, now_s: float) -> int:
        """How many posts may go now."""
        if now_s < self._until_s:
            return 0
        return 1 if self.is_open else self._limits.at_once

    def succeeded(self) -> None:
        """It answered, if only to say no: it is there."""
        self._failures, self._pause_s = 0, self._limits.open_s_min

    def failed(self, now_s: float, asked_s: float = 0.0) -> None:
        """It failed. `asked_s`: for how long it asked to be left alone."""
        self._failures += 1
        pause_s = min(asked_s, self._limits.retry_after_s_max)
        if self.is_open:
            pause_s = max(pause_s, random.uniform(self._pause_s / 2, self._pause_s))  # noqa: S311  to spread load
            self._pause_s = min(self._pause_s * 2, self._limits.open_s_max)
        self._until_s = max(self._until_s, now_s + pause_s)


def pause_s(attempts: int, asked_s: float, limits: Limits) -> float:
    """How long to wait before the next attempt at the same item, after so many."""
    grown = min(limits.pause_s_min * 2.0 ** min(attempts, 30), limits.pause_s_max)
    return max(random.uniform(grown / 2, grown), min(asked_s, limits.retry_after_s_max))  # noqa: S311
