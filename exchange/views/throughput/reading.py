"""What is counted, for whoever shows it: one window by cells and how long things took, and the sixty up to it by level;
or the same of one part of the tree of agencies.

Guarantees: one moment of the store. Not guaranteed: that a window is complete; `Report.is_open` tells whether the
partitions have moved past it, and `Report.gaps` what is missing from the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from psycopg import Connection

from exchange.errors import Unavailable
from exchange.views.throughput.names import Cell
from exchange.views.throughput.sketch import percentile
from exchange.views.throughput.store import Source, ThroughputStore
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN, TREE_SIZE, Gap

SIZES = tuple(SIZES_MIN)
"""The windows' names, smallest first."""
TREE_SIZES = SIZES[SIZES.index(TREE_SIZE) :]
"""Those of them that subtrees are counted in."""
RECEIPT = "status"
"""The kind that is about a document, and not counted with documents and reports."""
HISTORY = 60
"""How many windows a report reaches back."""

_LATEST = "SELECT max(start) FROM throughput WHERE size = %s"
_CELLS = """
SELECT sender_level, recipient_level, kind, outcome, code, urgency, documents, deliveries, bytes
FROM throughput WHERE size = %s AND start = %s ORDER BY 1, 2, 3, 4, 5, 6
"""
_HISTORY = """
SELECT sender_level, start, sum(documents)::bigint FROM throughput
WHERE size = %s AND start BETWEEN %s AND %s AND outcome = 'accepted' AND kind <> %s AND recipient_level = 0
GROUP BY 1, 2
"""
_SKETCHES = """
SELECT measure, topic, level, start, bucket, counted FROM throughput_sketches
WHERE size = %s AND start BETWEEN %s AND %s
"""
_TREE = """
SELECT path, start, sent, received, refused, receipts FROM throughput_of_subtrees
WHERE size = %s AND start BETWEEN %s AND %s AND %s = ANY(string_to_array(path, '/'))
"""
_NEWEST = "SELECT max(newest_minute) FROM positions"
_GAPS = "SELECT topic, partition, first_offset, next_offset, from_minute, until_minute FROM gaps ORDER BY 1, 2, 3"


@dataclass(frozen=True, slots=True)
class Sums:
    """What one cell adds up to. `bytes`: of attachments."""

    documents: int
    deliveries: int
    bytes: int


Measure = tuple[str, str, int]
"""``latency`` and the topic that statements came in, level 0; or ``receipt``, ``statuses`` and its signer's level."""

Found = TypeVar("Found")

Counts = dict[int, int]
"""By bucket (see `sketch`)."""


@dataclass(frozen=True, slots=True)
class Report:
    """One window. `start_minute`: minutes since 1970; `history`: by sender's level, oldest first, ending with it;
    `times`: how long things took in it; `medians`: in the same windows as `history`, in ms, 0 without any."""

    size: str
    start_minute: int
    is_open: bool
    cells: dict[Cell, Sums]
    history: dict[int, list[int]]
    times: dict[Measure, Counts]
    medians: dict[Measure, list[int]]
    gaps: list[tuple[Source, Gap]]

    def between(self, sender_level: int, recipient_level: int) -> Sums:
        """Documents and reports from units of one level to another's; recipient's level 0: to anyone, each once."""
        found = [
            sums
            for cell, sums in self.cells.items()
            if (cell.sender_level, cell.recipient_level, cell.outcome) == (sender_level, recipient_level, "accepted")
            and cell.kind != RECEIPT
        ]
        return _added(found)

    def by_outcome(self) -> dict[tuple[str, str, str], int]:
        """Submissions by kind, outcome and code, each once."""
        counts: dict[tuple[str, str, str], int] = {}
        for cell, sums in self.cells.items():
            if cell.recipient_level == 0:
                what = (cell.kind, cell.outcome, cell.code)
                counts[what] = counts.get(what, 0) + sums.documents
        return counts


class Doings(NamedTuple):
    """What agencies did: documents and reports sent, copies received, submissions refused, receipts signed."""

    sent: int = 0
    received: int = 0
    refused: int = 0
    receipts: int = 0

    def plus(self, other: Doings) -> Doings:
        """Both."""
        return Doings(*(one + more for one, more in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class TreeReport:
    """One window of all at and below an agency. `parts`: the agency itself and its communes, under its own code, and
    all at and below each of those right below it; `history`: as a report's, the newest last."""

    size: str
    start_minute: int
    is_open: bool
    code: str
    total: Doings
    parts: dict[str, Doings]
    history: list[Doings]
    gaps: list[tuple[Source, Gap]]


def report(store: ThroughputStore, size: str) -> Report | None:
    """The newest window of a size in which anything was submitted; None if nothing was ever counted.

    Raises: Unavailable ``postgres.unavailable``.
    """
    return _unless_missing(partial(_report, store, size))


def tree_report(store: ThroughputStore, size: str, code: str) -> TreeReport | None:
    """The newest window, an hour or a day, in which anything was submitted, of all at and below an agency.

    `code`: canonical, of an agency that isn't a commune. Raises: Unavailable ``postgres.unavailable``.
    """
    return _unless_missing(partial(_tree_report, store, size, code))


def _unless_missing(look: Callable[[], Found | None]) -> Found | None:
    try:
        return look()
    except Unavailable as exc:
        if exc.code != "throughput.missing":
            raise
        return None


def _report(store: ThroughputStore, size: str) -> Report | None:
    with store.snapshot() as connection:
        at = _newest(connection, size)
        if at is None:
            return None
        begin = at.start - (HISTORY - 1) * at.size_min
        rows = connection.execute(_CELLS, [at.size_min, at.start]).fetchall()
        cells = {Cell(*row[:6]): Sums(*row[6:]) for row in rows}
        history = _history(connection, at.size_min, at.start)
        times, medians = dict[Measure, Counts](), dict[Measure, list[int]]()
        for measure, windows in _times(connection, at.size_min, begin, at.start).items():
            medians[measure] = [percentile(counts, 0.5) or 0 for counts in windows]
            if windows[-1]:
                times[measure] = windows[-1]
        return Report(size, at.start, at.is_open, cells, history, times, medians, _gaps(connection))


def _tree_report(store: ThroughputStore, size: str, code: str) -> TreeReport | None:
    with store.snapshot() as connection:
        at = _newest(connection, size)
        if at is None:
            return None
        begin = at.start - (HISTORY - 1) * at.size_min
        history, parts = [Doings()] * HISTORY, dict[str, Doings]()
        for path, start, *counts in connection.execute(_TREE, [at.size_min, begin, at.start, code]):
            window = (start - begin) // at.size_min
            history[window] = history[window].plus(Doings(*counts))
            if start == at.start:
                codes = path.split("/")
                part = codes[codes.index(code) + 1 :][:1] or [code]
                parts[part[0]] = parts.get(part[0], Doings()).plus(Doings(*counts))
        return TreeReport(size, at.start, at.is_open, code, history[-1], parts, history, _gaps(connection))


class _At(NamedTuple):
    size_min: int
    start: int
    is_open: bool


def _newest(connection: Connection[Any], size: str) -> _At | None:
    size_min = SIZES_MIN[size]
    start, newest = _number(connection, _LATEST, size_min), _number(connection, _NEWEST)
    if start is None or newest is None:
        return None
    return _At(size_min, start, start + size_min + LATENESS_MIN > newest)


def _gaps(connection: Connection[Any]) -> list[tuple[Source, Gap]]:
    return [((topic, partition), Gap(*rest)) for topic, partition, *rest in connection.execute(_GAPS)]


def _times(connection: Connection[Any], size_min: int, begin: int, start: int) -> dict[Measure, list[Counts]]:
    found: dict[Measure, list[Counts]] = {}
    for measure, topic, level, at, bucket, counted in connection.execute(_SKETCHES, [size_min, begin, start]):
        windows = found.setdefault((measure, topic, level), [{} for _ in range(HISTORY)])
        windows[(at - begin) // size_min][bucket] = counted
    return found


def _history(connection: Connection[Any], size_min: int, start: int) -> dict[int, list[int]]:
    first = start - (HISTORY - 1) * size_min
    history: dict[int, list[int]] = {}
    for level, at, documents in connection.execute(_HISTORY, [size_min, first, start, RECEIPT]):
        history.setdefault(level, [0] * HISTORY)[(at - first) // size_min] = documents
    return history


def _number(connection: Connection[Any], query: str, *values: object) -> int | None:
    row = connection.execute(query.encode(), values).fetchone()
    return None if row is None else row[0]


def _added(found: list[Sums]) -> Sums:
    return Sums(sum(s.documents for s in found), sum(s.deliveries for s in found), sum(s.bytes for s in found))
