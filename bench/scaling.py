"""Scaling out: the same work with one, two and four workers; what a document costs in CPU time must not grow.

On a machine with fewer cores than workers the documents a second can't grow either; the cost can be compared anywhere.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from bench.corpus import Corpus
from bench.hop import one_run
from bench.results import Result, result, told
from bench.world import SEED, BenchWorld

WORKERS = (1, 2, 4)
DOCUMENTS, ROUNDS = 50_000, 3
GROWTH_PERCENT_MAX = 10


def measure(bench: BenchWorld, rounds: int = ROUNDS, documents: int = DOCUMENTS) -> Iterator[Result]:
    """Interleaved rounds of singly signed documents."""
    runs: dict[int, list[dict[str, Any]]] = {workers: [] for workers in WORKERS}
    for number in range(1, rounds + 1):
        for workers in WORKERS:
            corpus = Corpus(bench.cast, SEED, f"scaling-{workers}-{number}")
            runs[workers].append(one_run(bench, corpus.signed_singly(documents), documents, workers))
            told(f"round {number}, {workers} workers: {runs[workers][-1]}")
    for workers in WORKERS:
        ratios = [run["ratio"] for run in runs[workers]]
        yield result(f"scaling.{workers}_workers", ratios, "x one bare core", runs=runs[workers])
        costs = [run["worker_us"] for run in runs[workers]]
        yield result(f"scaling.{workers}_workers.worker_cpu", costs, "µs/document")
    cost = {workers: statistics.median(run["worker_us"] for run in runs[workers]) for workers in WORKERS}
    growth = max(abs(cost[workers] / cost[1] - 1) * 100 for workers in WORKERS)
    yield result("scaling.cpu_per_document_changes_by", [growth], "%", at_most=GROWTH_PERCENT_MAX)
