"""The throughput over the levels: windows over the hop's deltas, by Faust, kept in PostgreSQL and a compacted topic."""

from exchange.views.throughput.names import Cell
from exchange.views.throughput.reading import (
    HISTORY,
    SIZES,
    TREE_SIZES,
    Doings,
    Report,
    TreeReport,
    report,
    tree_report,
)
from exchange.views.throughput.sketch import percentile
from exchange.views.throughput.store import ThroughputStore
from exchange.views.throughput.windows import Gap

__all__ = [
    "HISTORY",
    "SIZES",
    "TREE_SIZES",
    "Cell",
    "Doings",
    "Gap",
    "Report",
    "ThroughputStore",
    "TreeReport",
    "percentile",
    "report",
    "tree_report",
]
