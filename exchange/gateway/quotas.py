"""Quotas: token buckets by agency (or network address), and how many things one may do at a time.

Guarantees: memory is bounded; a bucket that is forgotten was full, so nobody gains by being forgotten. One process's
word: several gateways grant each agency its quota each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exchange.gateway.problems import Refused

KEYS_MAX = 50_000
"""More than the country has agencies."""

BUSY_RETRY_S = 1.0


class Buckets:
    """One bucket a key: `rate` units a second, at most `burst` saved up. `clock`: monotonic seconds."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: str, amount: int = 1) -> None:
        """Take `amount`; more than a burst is taken when the bucket is full, and owed.

        Raises: Refused ``quota.exceeded`` with the time after which the same amount will be there.
        """
        now = self._clock()
        level, at = self._levels.pop(key, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        wanted = min(float(amount), self._burst)
        if level < wanted:
            self._levels[key] = (level, now)
            raise Refused("quota.exceeded", f"{key}: {amount}", (wanted - level) / self._rate)
        self._levels[key] = (level - amount, now)
        if len(self._levels) > KEYS_MAX:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop the full buckets; if there are none, the one longest unused (it comes first)."""
        full = [k for k, (level, at) in self._levels.items() if level + (now - at) * self._rate >= self._burst]
        for key in full or [next(iter(self._levels))]:
            del self._levels[key]


class Slots:
    """How many things of a sort a key may do at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    @contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Hold one slot; Refused ``quota.exceeded`` if all are taken."""
        taken = self._taken.get(key, 0)
        if taken >= self._most:
            raise Refused("quota.exceeded", f"{key}: {taken} at a time", BUSY_RETRY_S)
        self._taken[key] = taken + 1
        try:
            yield
        finally:
            left = self._taken[key] - 1
            if left:
                self._taken[key] = left
            else:
                del self._taken[key]
