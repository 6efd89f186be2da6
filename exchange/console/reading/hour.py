"""The last hour, minute by minute, out of the throughput's windows of one minute.

Guarantees: one moment of the store. Not guaranteed: that a minute is complete; the newest two may still grow, and
`Hour.gaps` says that sums are too small.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.reading import RECEIPT

MINUTES = 60
RATE_MINUTES = 5
"""A rate is that of so many whole minutes, the newest left out, for it isn't over."""

_MINUTES = """
SELECT start, sender_level, recipient_level, outcome, code, sum(documents)::bigint
FROM throughput WHERE size = 1 AND start > %s AND start <= %s AND kind <> %s
GROUP BY 1, 2, 3, 4, 5
"""
_NEWEST = "SELECT max(newest_minute) FROM positions"
_GAPS = "SELECT count(*) FROM gaps WHERE until_minute > %s"


@dataclass(slots=True)
class Hour:
    """The sixty minutes up to `until_minute`, included; minutes since 1970.

    `cells`: accepted documents and reports by sender's and recipient's level, over the hour; `rates`: the same a
    minute. `strips`: by sender's level, sixty counts, each document once. `rejections`: by code, receipts included.
    `gaps`: how many stretches of offsets weren't counted.
    """

    until_minute: int
    cells: dict[tuple[int, int], int] = field(default_factory=dict)
    rates: dict[tuple[int, int], float] = field(default_factory=dict)
    strips: dict[int, list[int]] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    gaps: int = 0

    @property
    def accepted(self) -> int:
        """Documents and reports, each once."""
        return sum(map(sum, self.strips.values()))

    @property
    def rate(self) -> float:
        """Documents and reports a minute."""
        return sum(sum(strip[-RATE_MINUTES - 1 : -1]) for strip in self.strips.values()) / RATE_MINUTES


def read(store: ThroughputStore, now_s: float | None = None) -> Hour:
    """Read it. `now_s`: this machine's clock, since 1970; the broker's may be ahead. Raises: Unavailable."""
    wall = int((time.time() if now_s is None else now_s) // 60)
    with store.snapshot() as connection:
        newest = connection.execute(_NEWEST).fetchone()
        until = max(wall, newest[0] if newest and newest[0] is not None else 0)
        found = Hour(until)
        gaps = connection.execute(_GAPS, [until - MINUTES]).fetchone()
        found.gaps = gaps[0] if gaps else 0
        for row in connection.execute(_MINUTES, [until - MINUTES, until, RECEIPT]):
            _add(found, *row)
    return found


def _add(found: Hour, start: int, sender: int, recipient: int, outcome: str, code: str, count: int) -> None:
    minute = start - found.until_minute + MINUTES - 1
    if outcome == "rejected" and recipient == 0:
        found.rejections[code] = found.rejections.get(code, 0) + count
    elif outcome == "accepted" and recipient == 0:
        found.strips.setdefault(sender, [0] * MINUTES)[minute] += count
    elif outcome == "accepted":
        cell = (sender, recipient)
        found.cells[cell] = found.cells.get(cell, 0) + count
        if MINUTES - 1 - RATE_MINUTES <= minute < MINUTES - 1:
            found.rates[cell] = found.rates.get(cell, 0) + count / RATE_MINUTES
