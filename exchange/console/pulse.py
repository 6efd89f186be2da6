"""What all open pages share: read once, however many look, and only while somebody does.

Guarantees: a reading is at most `age_s` old when it is asked for, is made at most once at a time, and one that failed
because the world is away is the value `Away`, made anew after as long. So fifty open pages cost the services what one
does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from exchange.console.deployment import Away, Deployment
from exchange.console.reading import backlog, coverage, hour, months
from exchange.errors import Unavailable

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """One reading. `read`: runs in a thread. `clock`: seconds."""

    def __init__(self, read: Callable[[], Value], age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._age_s = age_s
        self._clock = clock
        self._at_s: float | None = None
        self._value: Value | Away | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> Value | Away:
        """The reading, made if there is none so young."""
        async with self._lock:
            if self._value is None or self._at_s is None or self._clock() - self._at_s >= self._age_s:
                try:
                    self._value = await asyncio.to_thread(self._read)
                except Unavailable as exc:
                    self._value = Away.of(exc)
                self._at_s = self._clock()
            return self._value


class Pulse:
    """The readings behind the pages of one console."""

    def __init__(self, deployment: Deployment) -> None:
        self.hour = Shared(lambda: hour.read(deployment.throughput()), 1.5)
        self.backlog = Shared(lambda: backlog.read(deployment), 4.0)
        self.processes = Shared(deployment.processes, 4.0)
        self.coverage = Shared(lambda: coverage.read(deployment), 60.0)
        self.months = Shared(lambda: months.read(deployment.throughput()), 30.0)
        self.ages = Shared(lambda: (deployment.ages(),), 8.0)
