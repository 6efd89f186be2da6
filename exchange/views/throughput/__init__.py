"""The throughput over the levels: windows over the hop's deltas, by Faust, kept in PostgreSQL and a compacted topic."""

from exchange.views.throughput.reading import HISTORY, SIZES, Report, report
from exchange.views.throughput.store import ThroughputStore
from exchange.views.throughput.windows import Cell, Gap

__all__ = ["HISTORY", "SIZES", "Cell", "Gap", "Report", "ThroughputStore", "report"]
