"""What is counted, for whoever shows it: one window by cells, and the sixty up to it by sender's level.

Guarantees: one moment of the store. Not guaranteed: that a window is complete; `Report.is_open` tells whether the
partitions have moved past it, and `Report.gaps` what is missing from the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from exchange.errors import Unavailable
from exchange.views.throughput.store import Source, ThroughputStore
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN, Cell, Gap

SIZES = tuple(SIZES_MIN)
"""The windows' names, smallest first."""
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
_NEWEST = "SELECT max(newest_minute) FROM positions"
_GAPS = "SELECT topic, partition, first_offset, next_offset, from_minute, until_minute FROM gaps ORDER BY 1, 2, 3"


@dataclass(frozen=True, slots=True)
class Sums:
    """What one cell adds up to. `bytes`: of attachments."""

    documents: int
    deliveries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """One window. `start_minute`: minutes since 1970; `history`: by sender's level, oldest first, ending with it."""

    size: str
    start_minute: int
    is_open: bool
    cells: dict[Cell, Sums]
    history: dict[int, list[int]]
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


def report(store: ThroughputStore, size: str) -> Report | None:
    """The newest window of a size in which anything was submitted; None if nothing was ever counted.

    Raises: Unavailable ``postgres.unavailable``.
    """
    try:
        return _report(store, size)
    except Unavailable as exc:
        if exc.code != "throughput.missing":
            raise
        return None


def _report(store: ThroughputStore, size: str) -> Report | None:
    with store.snapshot() as connection:
        gaps = [((topic, partition), Gap(*rest)) for topic, partition, *rest in connection.execute(_GAPS)]
        start = _number(connection, _LATEST, SIZES_MIN[size])
        newest = _number(connection, _NEWEST)
        if start is None or newest is None:
            return None
        rows = connection.execute(_CELLS, [SIZES_MIN[size], start]).fetchall()
        cells = {Cell(*row[:6]): Sums(*row[6:]) for row in rows}
        history = _history(connection, SIZES_MIN[size], start)
    return Report(size, start, start + SIZES_MIN[size] + LATENESS_MIN > newest, cells, history, gaps)


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
