"""The connector's figures, as Prometheus reads them; the HTTP face serves them at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

REGISTRY = CollectorRegistry()

PACKETS = Counter(
    "edxml_packets", "Packets dealt with, by direction and what became of them", ("direction", "outcome"),
    registry=REGISTRY,
)  # fmt: skip
DEAD_LETTERS = Counter("edxml_dead_letters", "Packets and deliveries set aside", ("code",), registry=REGISTRY)
