"""A connector's figures for Prometheus: in a file for the node exporter's textfile collector, or at an address.

Guarantees: the file is replaced as a whole.
"""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from connectors.shared.files import write


class Figures:
    """The figures of a connector by its name (``folder``, ``webhook``, ``desk``)."""

    def __init__(self, name: str) -> None:
        self.registry = CollectorRegistry()
        self.items = Counter(
            f"exchange_{name}_items", "Documents and other statements, by direction and what became of them",
            ("direction", "outcome"), registry=self.registry,
        )  # fmt: skip
        self.dead_letters = Counter(
            f"exchange_{name}_dead_letters", "What couldn't be dealt with", ("code",), registry=self.registry
        )
        self.waiting = Gauge(f"exchange_{name}_waiting", "What isn't dealt with yet", registry=self.registry)
        self.gaps = Gauge(
            f"exchange_{name}_gaps",
            "Times that the inbox wasn't read for longer than it is kept",
            registry=self.registry,
        )
        self.failures = Counter(
            f"exchange_{name}_failures", "Turns of the loop that were broken off", ("code",), registry=self.registry
        )
        self._turned = Gauge(
            f"exchange_{name}_last_turn_timestamp_seconds", "When the loop last went round", registry=self.registry
        )

    def turned(self) -> None:
        """The loop went round."""
        self._turned.set(time.time())

    def write(self, path: Path) -> None:
        """Let the file have them."""
        write(path, generate_latest(self.registry))
