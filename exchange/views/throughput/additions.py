"""What one delta adds to the windows, by the minute and name: the cells of the levels, and how long things took.

A statement's latency is from its own append time to its delta's: both are the broker's clock, and the delta commits
with the deliveries. They lie in the inboxes by then, and are seen when the transaction ends, some ms later.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from operator import itemgetter
from typing import Any

from exchange.statements import Fields
from exchange.views.throughput.names import Cell, Latency, Receipts, name_of
from exchange.views.throughput.sketch import bucket_of

TREE_COLUMNS = ("senders", "recipients", "refused", "signers")
"""The delta's columns of subtrees, in the order of a subtree's sums."""

_MINUTE_MS = 60_000

_key_of = itemgetter("minute", *Cell._fields)
_sums_of = itemgetter("documents", "deliveries", "bytes")

Key = tuple[Any, ...]
"""Of a cell: its minute and its fields. Of times: the minute, and `Latency` or `Receipts`."""


class Additions:
    """The sums of many deltas, to be added to windows at once."""

    def __init__(self) -> None:
        self._sums: dict[Key, list[int]] = {}

    def add(self, delta: Fields) -> None:
        """Add those of one delta; `windows` counts the subtrees."""
        sums = self._sums
        for cell in delta["cells"]:
            key = _key_of(cell)
            counts = sums.get(key)
            if counts is None:
                sums[key] = [*_sums_of(cell)]
            else:
                documents, deliveries, size = _sums_of(cell)
                counts[0] += documents
                counts[1] += deliveries
                counts[2] += size
        for columns in delta["minutes"]:
            minute = columns["minute"]
            since_ms = delta["append_ms"] - minute * _MINUTE_MS
            for at_ms, count in Counter(_numbers("H", columns["appended"])).items():
                self._count((minute, Latency(bucket_of(since_ms - at_ms))), count)
            for level, wait_ms in zip(columns["levels"], _numbers("I", columns["waits"]), strict=True):
                self._count((minute, Receipts(level, bucket_of(wait_ms))), 1)

    def take(self) -> dict[int, dict[str, list[int]]]:
        """Give them away, by minute and name."""
        taken, self._sums = self._sums, {}
        found: dict[int, dict[str, list[int]]] = {}
        for (minute, *key), sums in taken.items():
            counted = key[0] if len(key) == 1 else Cell(*key)
            found.setdefault(minute, {})[name_of(counted)] = sums
        return found

    def _count(self, key: Key, more: int) -> None:
        counts = self._sums.get(key)
        if counts is None:
            self._sums[key] = [more]
        else:
            counts[0] += more


def _numbers(size: str, data: bytes) -> array[int]:
    """The numbers in a column: ``H`` of two bytes, ``I`` of four."""
    numbers = array(size, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
