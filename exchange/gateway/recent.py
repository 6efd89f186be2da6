"""The newest deliveries of all inboxes in memory, and the waking of those who wait for them.

Guarantees: of each inbox partition, everything from `first` to `next` is held, without a gap; the oldest go when
the bound of bytes is reached. One thread, that of the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from exchange.gateway.deliveries import Delivery

Place = tuple[str, int]
"""An inbox topic and partition."""


class Recent:
    """What arrived lately. `most_bytes`: over all places."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: dict[Place, deque[Delivery]] = {}
        self._first: dict[Place, int] = {}
        self._next: dict[Place, int] = {}
        self._order: deque[Place] = deque()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self.is_closing = False

    def begin(self, place: Place, offset: int) -> None:
        """Hold what comes from `offset` on."""
        self._held[place] = deque()
        self._first[place] = self._next[place] = offset

    def first(self, place: Place) -> int:
        """The offset from which on everything is held."""
        return self._first[place]

    def next(self, place: Place) -> int:
        """The offset after the last one held."""
        return self._next[place]

    def add(self, place: Place, delivery: Delivery) -> None:
        """Hold a delivery, and wake whoever it names."""
        self._held[place].append(delivery)
        self._next[place] = delivery.offset + 1
        self._order.append(place)
        self._bytes += delivery.size_bytes
        while self._bytes > self._most_bytes and len(self._order) > 1:
            self._drop(self._order.popleft())
        for code in self._waiting.keys() & delivery.recipients:
            for event in self._waiting[code]:
                event.set()

    def pass_to(self, place: Place, offset: int) -> None:
        """Nothing more lies below `offset`: markers and aborted records aren't held."""
        self._next[place] = max(self._next[place], offset)

    def since(self, place: Place, offset: int) -> Iterator[Delivery]:
        """What is held from `offset` on, in order."""
        held = self._held[place]
        skipped = 0
        for delivery in reversed(held):
            if delivery.offset < offset:
                break
            skipped += 1
        for index in range(len(held) - skipped, len(held)):
            yield held[index]

    @contextmanager
    def waiting(self, code: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something for `code` is added, or when we close."""
        event = asyncio.Event()
        self._waiting.setdefault(code, set()).add(event)
        try:
            yield event
        finally:
            waiters = self._waiting[code]
            waiters.discard(event)
            if not waiters:
                del self._waiting[code]

    def close(self) -> None:
        """Let everybody who waits go home."""
        self.is_closing = True
        for waiters in self._waiting.values():
            for event in waiters:
                event.set()

    def _drop(self, place: Place) -> None:
        gone = self._held[place].popleft()
        self._bytes -= gone.size_bytes
        self._first[place] = gone.offset + 1
