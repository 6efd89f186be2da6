"""What a process gives Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Figures = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""Each sample by name and sorted labels."""


def scrape(address: str, path: str = "/metrics") -> Figures:
    """All samples of an address."""
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def of(figures: Figures, name: str, **labels: str) -> float:
    """The sum of a figure's samples that bear these labels; 0 without any."""
    return sum(
        value for (found, has), value in figures.items() if found == name and labels.items() <= dict(has).items()
    )
