"""Tumbling windows over the deltas of one source partition: pure, from state and deltas to the next state.

Guarantees: a delta counts once, however often it comes: state and next offset are one value, and a delta at or
below that offset is a repeat. Offsets that no delta counts are a `Gap`, never passed over in silence. Any two
divisions of the same submissions into deltas lead to the same totals; and deltas folded together lead to the same
state, parts and closed windows as one by one, so that it doesn't matter how they were fetched.

A window closes once the partition's newest minute is `LATENESS_MIN` past its end; the state forgets it then, so
whoever folds must have stored its sums (`Step.closed`) before the new state. What comes later still counts in its
own window: that is opened again as another *part*, named by the offset that opened it, and parts add up.

The state is JSON as it is (a Faust table's value): no tuple, no number as a key. Time is the broker's append time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from exchange.errors import InvariantBroken
from exchange.statements import Fields
from exchange.views.throughput.additions import TREE_COLUMNS, Additions
from exchange.views.throughput.names import Subtree, name_of

SIZES_MIN = {"minute": 1, "hour": 60, "day": 1440}
"""The windows' names and sizes. Days begin at 00:00 UTC, which is 07:00 in Vietnam."""

TREE_SIZE = "hour"
"""The windows that subtrees are counted in: there are too many subtrees for each minute, and hours add up to days."""

LATENESS_MIN = 1
"""How far behind the newest minute a window's end must be before it closes."""


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
"""Name (see `names`) → sums."""


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
    """What deltas led to. `touched`: of open windows, the names that changed, but for those of subtrees, which are
    `touched_subtrees`; `closed`: whole windows."""

    state: State
    touched: dict[str, set[str]] = field(default_factory=dict)
    touched_subtrees: dict[str, set[str]] = field(default_factory=dict)
    closed: dict[str, Cells] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


class Folding:
    """Adds deltas (``schemas/delta``, with `append_ms`) of one source partition, in order, to its state, which is left
    as it was: a window is copied when it first changes."""

    def __init__(self, state: State | None) -> None:
        before: State = state or {"next_offset": 0, "newest_minute": 0, "windows": {}}
        self.next_offset, self._newest = before["next_offset"], before["newest_minute"]
        self._before = before["next_offset"]
        self._windows = dict(before["windows"])
        self._open = {(window.size, window.start): key for key in self._windows if (window := window_of(key))}
        self._touched: dict[str, set[str]] = {}
        self._additions = Additions()
        self._paths: dict[int, dict[str, list[str]]] = {}
        self._touched_subtrees: dict[str, set[str]] = {}
        self._closed: dict[str, Cells] = {}
        self._gaps: list[Gap] = []

    @property
    def has_counted(self) -> bool:
        """Whether anything was new in what was added."""
        return self.next_offset != self._before

    def is_repeat(self, delta: Fields) -> bool:
        """Whether it is counted already."""
        return bool(delta["next_offset"] <= self.next_offset)

    def joins_on(self, delta: Fields) -> bool:
        """Whether it begins where the last one ended."""
        return bool(delta["previous_next_offset"] == self.next_offset)

    def add(self, delta: Fields) -> None:
        """Add one delta; a repeat changes nothing.

        One that lies partly below the state's offset can't be told apart: it isn't counted, and what it has above
        is a gap. Raises: InvariantBroken for a delta that covers nothing.
        """
        first, after = delta["previous_next_offset"], delta["next_offset"]
        if first >= after:
            raise InvariantBroken(f"a delta of {delta['topic']}/{delta['partition']} from {first} to {after}")
        if self.is_repeat(delta):
            return
        minutes = [cell["minute"] for cell in delta["cells"]]
        newest = max(self._newest, *minutes) if minutes else self._newest
        joined, self.next_offset = self.next_offset, after
        if first < joined:
            self._gaps.append(Gap(joined, after, self._newest, newest))
            return
        if first > joined:
            self._gaps.append(Gap(joined, first, self._newest, max(minutes, default=newest)))
        for minute in set(minutes):
            for size in SIZES_MIN:
                self._open_window(size, minute, first)
        self._additions.add(delta)
        for columns in delta["minutes"]:
            self._note_paths(columns)
        if newest != self._newest or any(minute + 1 + LATENESS_MIN <= newest for minute in minutes):
            self._close(newest)
        self._newest = newest

    def step(self) -> Step:
        """What it all led to."""
        self._settle()
        state: State = {"next_offset": self.next_offset, "newest_minute": self._newest, "windows": self._windows}
        return Step(state, self._touched, self._touched_subtrees, self._closed, self._gaps)

    def _open_window(self, size: str, minute: int, since: int) -> None:
        """Let the minute's window of a size be open, and be changed from now on."""
        place = (size, minute - minute % SIZES_MIN[size])
        key = self._open.get(place)
        if key is None:
            key = self._open[place] = key_of(Window(*place, since))
        if key not in self._touched:
            self._windows[key] = dict(self._windows.get(key, {}))
            self._touched[key] = set()

    def _note_paths(self, columns: Fields) -> None:
        noted = self._paths.setdefault(columns["minute"] - columns["minute"] % SIZES_MIN[TREE_SIZE], {})
        for column in TREE_COLUMNS:
            if columns[column]:
                noted.setdefault(column, []).append(columns[column])

    def _settle(self) -> None:
        """Add to the windows what was noted since last time: for many deltas at once, and before any of them closes."""
        for minute, sums in self._additions.take().items():
            for size, minutes in SIZES_MIN.items():
                key = self._open[size, minute - minute % minutes]
                _add(self._windows[key], sums)
                self._touched[key].update(sums)
        for start, texts in self._paths.items():
            self._count_paths(self._open[TREE_SIZE, start], texts)
        self._paths = {}

    def _count_paths(self, key: str, texts: dict[str, list[str]]) -> None:
        sums: Cells = {}
        for place, column in enumerate(TREE_COLUMNS):
            for path, count in Counter(" ".join(texts.get(column, ())).split()).items():
                sums.setdefault(name_of(Subtree(path)), [0] * len(TREE_COLUMNS))[place] = count
        _add(self._windows[key], sums)
        self._touched_subtrees.setdefault(key, set()).update(sums)

    def _close(self, newest: int) -> None:
        over = [place for place in self._open if Window(*place, 0).end + LATENESS_MIN <= newest]
        if over:
            self._settle()
        for place in over:
            key = self._open.pop(place)
            self._closed[key] = self._windows.pop(key)
            self._touched.pop(key, None)
            self._touched_subtrees.pop(key, None)


def fold(state: State | None, *deltas: Fields) -> Step:
    """Add deltas to a state, see `Folding`."""
    folding = Folding(state)
    for delta in deltas:
        folding.add(delta)
    return folding.step()


def _add(window: Cells, sums: Cells) -> None:
    for name, more in sums.items():
        before = window.get(name)
        window[name] = more if before is None else [a + b for a, b in zip(before, more, strict=True)]


def key_of(window: Window) -> str:
    """The window's key in a state and, with its source partition, in the topic of results."""
    return f"{window.size}/{window.start}/{window.since}"


def window_of(key: str) -> Window:
    """The window that a key names."""
    size, start, since = key.split("/")
    return Window(size, int(start), int(since))
