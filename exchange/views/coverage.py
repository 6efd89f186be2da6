"""Which units sent and received in the last thirty days, who is silent, who is slow; and the same of all below a unit.

Guarantees: of the units that are open today, each is counted once; all is read as of one moment of the trace store. A
unit without a row neither sent nor received. Times are the broker's; a day is the last 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from exchange.agencies.entries import Agency
from exchange.agencies.resolution import is_open
from exchange.agencies.view import DirectoryView
from exchange.pipeline.routing import day_of
from exchange.views.trace_store import TraceStore

DAY_MS = 86_400_000
DAYS = (1, 7, 30)
"""The periods, in days, shortest first."""

_SENT = """
SELECT sender, count(*) FILTER (WHERE append_ms >= %(d1)s), count(*) FILTER (WHERE append_ms >= %(d7)s), count(*),
    max(append_ms)
FROM events WHERE terms IS NOT NULL AND append_ms >= %(d30)s AND outcome = 'accepted' AND kind IN ('document', 'report')
GROUP BY sender
"""
_RECEIVED = """
SELECT recipient, count(*) FILTER (WHERE delivered_ms >= %(d1)s), count(*) FILTER (WHERE delivered_ms >= %(d7)s),
    count(*), max(delivered_ms), avg(delay_ms)::float, count(*) FILTER (WHERE delay_ms IS NULL)
FROM deliveries WHERE delivered_ms >= %(d30)s GROUP BY recipient
"""
_SETTINGS = "SET LOCAL jit = off"

Row = tuple[Any, ...]


@dataclass(slots=True)
class Unit:
    """One unit and its own doings. `sent`, `received`: in each of `DAYS`; `last_ms`: when it last did either.

    `delay_ms`: on average from delivery to the first receipt, of those that have one; `waiting`: copies without any.
    `below`: the units at and below it; `active`: how many of them sent or received, in each of `DAYS`.
    """

    code: str
    name: str
    level: int
    parent: str | None
    sent: tuple[int, ...] = (0, 0, 0)
    received: tuple[int, ...] = (0, 0, 0)
    last_ms: int | None = None
    delay_ms: float | None = None
    waiting: int = 0
    below: int = 0
    active: list[int] = field(default_factory=lambda: [0] * len(DAYS))

    @property
    def is_silent(self) -> bool:
        """Whether it sent nothing in the longest period."""
        return self.sent[-1] == 0


@dataclass(slots=True)
class Coverage:
    """All open units by code, in the directory's order, and the units directly below each; None: the top."""

    at_ms: int
    units: dict[str, Unit]
    children: dict[str | None, list[Unit]] = field(default_factory=dict)

    def within(self, code: str | None) -> Iterable[Unit]:
        """The unit and all below it; None: everyone."""
        if code is None:
            yield from self.units.values()
            return
        seen, waiting = {code}, [self.units[code]]
        while waiting:
            unit = waiting.pop()
            yield unit
            below = [one for one in self.children.get(unit.code, []) if one.code not in seen]
            seen.update(one.code for one in below)  # a directory may hold a cycle
            waiting += below

    def topmost(self, codes: Iterable[str]) -> list[Unit]:
        """The units of these codes that are below no other of them."""
        named = set(codes)
        found = (self.units[code] for code in sorted(named & set(self.units)))
        return [one for one in found if not any(above.code in named for above in self.above(one.code)[:-1])]

    def above(self, code: str) -> list[Unit]:
        """The units above it, the topmost first, and it."""
        found, unit = dict[str, Unit](), self.units.get(code)
        while unit is not None and unit.code not in found:
            found[unit.code] = unit
            unit = self.units.get(unit.parent or "")
        return list(found.values())[::-1]


def read(store: TraceStore, open_units: Iterable[Agency], at_ms: int) -> Coverage:
    """Read it. `open_units`: see below. Raises: Unavailable."""
    since = {f"d{days}": at_ms - days * DAY_MS for days in DAYS}
    with store.snapshot() as connection:
        connection.execute(_SETTINGS)
        sent, received = connection.execute(_SENT, since).fetchall(), connection.execute(_RECEIVED, since).fetchall()
    return arranged(at_ms, counted(open_units, sent, received))


def open_units(view: DirectoryView, at_ms: int) -> list[Agency]:
    """The units that are open on the day of that time."""
    today = day_of(at_ms)
    return [one for one in view.agencies() if is_open(one, today)]


def counted(open_units: Iterable[Agency], sent: Iterable[Row], received: Iterable[Row]) -> dict[str, Unit]:
    """The units with what the rows say of them; rows of others are left out."""
    units = {one.code: Unit(one.code, one.name, int(one.level), one.parent) for one in open_units}
    for code, *counts, last_ms in sent:
        if (unit := units.get(code)) is not None:
            unit.sent, unit.last_ms = tuple(counts), last_ms
    for code, day, week, month, last_ms, delay_ms, waiting in received:
        if (unit := units.get(code)) is not None:
            unit.received, unit.delay_ms, unit.waiting = (day, week, month), delay_ms, waiting
            unit.last_ms = max(unit.last_ms or 0, last_ms)
    return units


def arranged(at_ms: int, units: dict[str, Unit]) -> Coverage:
    """The tree over the units, each unit's own doings added to all above it."""
    found = Coverage(at_ms, units)
    for unit in units.values():
        unit.below = 1
        unit.active = [int(sent + received > 0) for sent, received in zip(unit.sent, unit.received, strict=True)]
        parent = unit.parent if unit.parent in units else None
        found.children.setdefault(parent, []).append(unit)
    downwards = list(found.children.get(None, []))
    for unit in downwards:  # grows as it is walked, until it holds everyone
        downwards += found.children.get(unit.code, [])
    for unit in reversed(downwards):
        above = units.get(unit.parent or "")
        if above is not None:
            above.below += unit.below
            above.active = [one + more for one, more in zip(above.active, unit.active, strict=True)]
    return found
