"""The hop: one real worker over a filled topic, with all its guarantees on, against the yardstick of the run.

Documents of 2 KiB, signed singly and in batches of 1,000; counted from the first commit to the last, by the
broker's clock. Everything is as in production but the single replica of an embedded Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bench.corpus import Corpus
from bench.following import Progress, span_of
from bench.results import Result, result, told
from bench.workers import CpuMeter, running_workers
from bench.world import SEED, BenchWorld
from bench.yardstick import verified_per_second
from exchange.backbone.submitting import Outgoing, Submitting

DOCUMENTS = 50_000
ROUNDS = 5
SINGLY_MIN, BATCHED_MIN = 1.0, 1.8


def measure(bench: BenchWorld, rounds: int = ROUNDS, documents: int = DOCUMENTS) -> Iterator[Result]:
    """Interleaved rounds: yardstick, singly signed, batch-signed."""
    runs: dict[str, list[dict[str, Any]]] = {"singly": [], "batched": []}
    for number in range(1, rounds + 1):
        for way in runs:
            corpus = Corpus(bench.cast, SEED, f"{way}-{number}")
            made = corpus.signed_singly(documents) if way == "singly" else corpus.signed_in_batches(documents)
            run = one_run(bench, made, documents)
            runs[way].append(run)
            told(f"round {number}, {way}: {run}")
    for way, least in (("singly", SINGLY_MIN), ("batched", BATCHED_MIN)):
        ratios = [run["ratio"] for run in runs[way]]
        yield result(f"hop.{way}_signed", ratios, "x one bare core", at_least=least, runs=runs[way])
        yield result(f"hop.{way}_signed.documents", [run["per_second"] for run in runs[way]], "documents/s")
        yield result(f"hop.{way}_signed.worker_cpu", [run["worker_us"] for run in runs[way]], "µs/document")
        yield result(f"hop.{way}_signed.broker_cpu", [run["broker_us"] for run in runs[way]], "µs/document")


def one_run(bench: BenchWorld, made: Iterable[Outgoing], documents: int, workers: int = 1) -> dict[str, Any]:
    """Fill the topic, measure the yardstick, let the workers go through it."""
    fill(bench, made)
    yardstick = verified_per_second()
    progress = Progress(bench.world)
    try:
        with (
            running_workers(bench.world, workers) as processes,
            CpuMeter({"worker": processes, "broker": [bench.broker]}) as meter,
        ):
            span = span_of(progress.until(documents))
    finally:
        progress.close()
    cost = {
        f"{name}_us": round(1e6 * meter.spent(name, span.begin, span.end) / span.documents, 1)
        for name in ("worker", "broker")
    }
    return {
        "yardstick_per_second": round(yardstick),
        "per_second": round(span.per_second),
        "ratio": round(span.per_second / yardstick, 3),
        **cost,
        "cores_busy": meter.shares(span.begin, span.end),
    }


def fill(bench: BenchWorld, made: Iterable[Outgoing]) -> None:
    """Put records onto the submission topics, with their headers, as participants do."""
    Submitting(bench.world.base, linger_ms=20, queue_buffering_max_kbytes=262_144).submit(made)
