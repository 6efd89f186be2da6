"""Tumbling windows over the deltas of one source partition: pure, from state and delta to the next state.

Guarantees: a delta counts once, however often it comes: state and next offset are one value, and a delta at or
below that offset is a repeat. Offsets that no delta counts are a `Gap`, never passed over in silence. Any two
divisions of the same submissions into deltas lead to the same totals.

A window closes once the partition's newest minute is `LATENESS_MIN` past its end; the state forgets it then, so
whoever folds must have stored its sums (`Step.closed`) before the new state. What comes later still counts in its
own window: that is opened again as another *part*, named by the offset that opened it, and parts add up.

The state is JSON as it is (a Faust table's value): no tuple, no number as a key. Time is the broker's append time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from exchange.errors import InvariantBroken
from exchange.statements import Fields

SIZES_MIN = {"minute": 1, "hour": 60, "day": 1440}
"""The windows' names and sizes. Days begin at 00:00 UTC, which is 07:00 in Vietnam."""

LATENESS_MIN = 1
"""How far behind the newest minute a window's end must be before it closes."""

_NOTHING = (0, 0, 0)


class Cell(NamedTuple):
    """What one sum counts; recipient's level 0 is the total's, where a document counts once."""

    sender_level: int
    recipient_level: int
    kind: str
    outcome: str
    code: str
    urgency: int


class Window(NamedTuple):
    """One part of one window. `start`: minutes since 1970; `since`: the source offset that opened this part."""

    size: str
    start: int
    since: int

    @property
    def end(self) -> int:
        """The first minute after it."""
        return self.start + SIZES_MIN[self.size]


Cells = dict[str, list[int]]
"""Cell (see `cell_of`) → documents, deliveries, bytes."""


class State(TypedDict):
    """Everything known of one source partition. `windows`: the open ones, by `key_of`."""

    next_offset: int
    newest_minute: int
    windows: dict[str, Cells]


class Gap(NamedTuple):
    """Offsets of which nothing was counted, and the minutes between which they were appended."""

    first: int
    next: int
    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one delta led to. `touched`: of open windows, the cells that changed; `closed`: whole windows."""

    state: State
    touched: dict[str, set[str]] = field(default_factory=dict)
    closed: dict[str, Cells] = field(default_factory=dict)
    gap: Gap | None = None
    is_repeat: bool = False


def fold(state: State | None, delta: Fields) -> Step:
    """Add one delta (``schemas/delta``) to its partition's state, which is left as it was.

    A delta that lies partly below the state's offset can't be told apart: it isn't counted, and what it has above
    is a gap. Raises: InvariantBroken for a delta that covers nothing.
    """
    before: State = state or {"next_offset": 0, "newest_minute": 0, "windows": {}}
    first, after = delta["previous_next_offset"], delta["next_offset"]
    if first >= after:
        raise InvariantBroken(f"a delta of {delta['topic']}/{delta['partition']} from {first} to {after}")
    joined = before["next_offset"]
    if after <= joined:
        return Step(before, is_repeat=True)
    minutes = [cell["minute"] for cell in delta["cells"]]
    newest = max(before["newest_minute"], *minutes) if minutes else before["newest_minute"]
    if first < joined:
        return Step({**before, "next_offset": after}, gap=Gap(joined, after, before["newest_minute"], newest))
    gap = Gap(joined, first, before["newest_minute"], max(minutes, default=newest)) if first > joined else None
    windows = dict(before["windows"])
    touched = _add(windows, delta)
    closed = {key: windows.pop(key) for key in list(windows) if _is_over(window_of(key), newest)}
    for key in closed:
        touched.pop(key, None)
    return Step({"next_offset": after, "newest_minute": newest, "windows": windows}, touched, closed, gap)


def _add(windows: dict[str, Cells], delta: Fields) -> dict[str, set[str]]:
    """Add the delta's cells; windows that change are copied first, as are their cells."""
    by_minute: dict[int, list[tuple[str, Fields]]] = {}
    for cell in delta["cells"]:
        by_minute.setdefault(cell["minute"], []).append((_name(cell), cell))
    touched: dict[str, set[str]] = {}
    open_parts = {_place(window): key for key in windows if (window := window_of(key))}
    for minute, named in by_minute.items():
        for size, minutes in SIZES_MIN.items():
            window = Window(size, minute - minute % minutes, delta["previous_next_offset"])
            key = open_parts.setdefault(_place(window), key_of(window))
            if key not in touched:
                windows[key] = dict(windows.get(key, {}))
                touched[key] = set()
            _add_cells(windows[key], named)
            touched[key].update(name for name, _ in named)
    return touched


def _add_cells(window: Cells, named: list[tuple[str, Fields]]) -> None:
    for name, cell in named:
        before = window.get(name, _NOTHING)
        window[name] = [before[0] + cell["documents"], before[1] + cell["deliveries"], before[2] + cell["bytes"]]


def _place(window: Window) -> tuple[str, int]:
    return window.size, window.start


def _is_over(window: Window, newest_minute: int) -> bool:
    return window.end + LATENESS_MIN <= newest_minute


def key_of(window: Window) -> str:
    """The window's key in a state and, with its source partition, in the topic of results."""
    return f"{window.size}/{window.start}/{window.since}"


def window_of(key: str) -> Window:
    """The window that a key names."""
    size, start, since = key.split("/")
    return Window(size, int(start), int(since))


def cell_of(name: str) -> Cell:
    """The cell that a name in `Cells` means."""
    sender_level, recipient_level, kind, outcome, code, urgency = name.split("|")
    return Cell(int(sender_level), int(recipient_level), kind, outcome, code, int(urgency))


def _name(cell: Fields) -> str:
    name = (
        f"{cell['sender_level']}|{cell['recipient_level']}|{cell['kind']}|{cell['outcome']}|{cell['code']}|"
        f"{cell['urgency']}"
    )
    if name.count("|") != len(Cell._fields) - 1:
        raise InvariantBroken(f"a delta's cell {name} can't be named")
    return name
