"""The units' coverage (`exchange.views.coverage`) as of now, in a console's deployment."""

from __future__ import annotations

import time

from exchange.console.deployment import Deployment
from exchange.views import coverage


def read(deployment: Deployment, now_ms: int | None = None) -> coverage.Coverage:
    """Read it. Raises: Unavailable."""
    at_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    units = deployment.ask(lambda view: coverage.open_units(view, at_ms))
    return coverage.read(deployment.traces(), units, at_ms)
