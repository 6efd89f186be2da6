"""What a benchmark found, and the file that it is kept in.

A result is the median of interleaved rounds; the raw figures of every round stay with it. A missed target stands
as missed. Only ratios travel from one machine to another; absolute figures are there to be understood.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `value`: the median of the rounds. `target`: None if the figure is for information only."""

    name: str
    value: float
    unit: str
    least: float
    most: float
    target: str | None = None
    holds: bool | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    date: str = ""


def result(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    runs: Sequence[dict[str, Any]] = (),
) -> Result:
    """Sum up the rounds of one figure and hold it against its target."""
    value = statistics.median(values)
    target, holds = None, None
    if at_least is not None:
        target, holds = f">= {at_least:g}", value >= at_least
    if at_most is not None:
        target, holds = f"<= {at_most:g}", value <= at_most
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(name, _short(value), unit, _short(min(values)), _short(max(values)), target, holds, list(runs), now)


def show(found: Result) -> None:
    """One line a figure."""
    verdict = "" if found.holds is None else f"   target {found.target}: {'held' if found.holds else 'MISSED'}"
    print(f"{found.name:<44} {found.value:>10,.4g} {found.unit}  ({found.least:,.4g}–{found.most:,.4g}){verdict}")


def save(found: Sequence[Result], seed: int) -> None:
    """Put the results into the file, in place of earlier ones of the same name."""
    kept = {} if not FILE.exists() else {one["name"]: one for one in json.loads(FILE.read_text("utf-8"))["results"]}
    kept |= {one.name: asdict(one) for one in found}
    content = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "results": list(kept.values()),
    }
    FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def told(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"  {text}", file=sys.stderr, flush=True)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _short(value: float) -> float:
    return float(f"{value:.5g}")
