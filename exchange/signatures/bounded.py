"""A bounded memory of what was found out before, safe for several threads.

Guarantees: never more than `most` entries; the one not asked for the longest goes first. What is remembered must
follow from its key alone, for it may be forgotten and found out again at any time.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Bounded(Generic[Key, Value]):
    """Keys to values, at most `most` of them."""

    __slots__ = ("_found", "_lock", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[Key, Value] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Key) -> Value | None:
        """What is remembered, or None; it counts as used now."""
        with self._lock:
            value = self._found.pop(key, None)
            if value is not None:
                self._found[key] = value
            return value

    def put(self, key: Key, value: Value) -> None:
        """Remember, and forget what was not used for the longest."""
        with self._lock:
            self._found.pop(key, None)
            self._found[key] = value
            while len(self._found) > self._most:
                del self._found[next(iter(self._found))]
