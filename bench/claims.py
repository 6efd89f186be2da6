"""A worker that remembers a million documents: how soon it is ready after a start, and what it occupies.

The claims are put into the store's changelog as the hop writes them, for a world that has accepted nothing else.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import psutil

from bench.results import Result, result, told
from bench.workers import running_workers
from bench.world import BenchWorld, bench_world
from exchange.backbone.clients import producer
from exchange.local.founding import now_ms
from exchange.local.waiting import wait_until
from exchange.pipeline.outputs import CHANGELOG
from exchange.pipeline.store import pack
from exchange.statements import SUBMISSION_TOPICS, Topic, schema
from exchange.statements.chain import WAITING

CLAIMS, PER_RECORD = 1_000_000, 1_000
ROUNDS = 3
READY_S_MAX, MEMORY_MB_MAX = 5.0, 400
START_TIMEOUT_S = 120.0


def measure(_: BenchWorld, rounds: int = ROUNDS) -> Iterator[Result]:
    """Restart a worker several times over the same million claims, in a world of its own."""
    with bench_world() as bench:
        _remember(bench)
        runs = [_start(bench) for _ in range(rounds)]
    for run in runs:
        told(str(run))
    yield result("claims.million.ready_after", [r["ready_s"] for r in runs], "s", at_most=READY_S_MAX, runs=runs)
    yield result("claims.million.memory", [r["memory_mb"] for r in runs], "MB", at_most=MEMORY_MB_MAX)


def _remember(bench: BenchWorld) -> None:
    """One recipient a document, as most have."""
    out = producer(bench.world.base)
    partitions, at = bench.world.layout.keyed, now_ms()
    for number in range(CLAIMS // PER_RECORD):
        partition = number % partitions
        claim = pack(secrets.token_bytes(32), number, at, Topic.DOCUMENTS, [number], bytes((WAITING,)))
        fields = {
            "partition": partition,
            "covers": [{"topic": topic, "next_offset": 0} for topic in SUBMISSION_TOPICS],
            "claims": (number // partitions + 1) * PER_RECORD,
            "carried": [],
            "puts": [{"key": secrets.token_bytes(16), "value": claim} for _ in range(PER_RECORD)],
            "moves": [],
            "forgets": [],
        }
        out.produce(CHANGELOG, schema("changelog").encode(fields), str(partition).encode(), partition)
        out.poll(0)
    if out.flush(60):
        raise RuntimeError("the claims could not be written")


def _start(bench: BenchWorld) -> dict[str, Any]:
    """From starting the process to its first poll with everything restored, by the worker's own log."""
    log = bench.world.home.run / "bench-workers.out"
    before = log.stat().st_size if log.exists() else 0
    began = time.monotonic()
    with running_workers(bench.world) as [worker]:

        def ready() -> bool:
            return b"hop.assigned" in log.read_bytes()[before:]

        if not wait_until(ready, START_TIMEOUT_S):
            raise RuntimeError(f"no worker after {START_TIMEOUT_S} s")
        ready_s = time.monotonic() - began
        memory = psutil.Process(worker.pid).memory_info().rss
    return {"ready_s": round(ready_s, 2), "memory_mb": round(memory / 1e6), "log": _last(log.read_text("utf-8"))}


def _last(text: str) -> str:
    line = next(line for line in reversed(text.splitlines()) if "hop.assigned" in line)
    return json.dumps(" ".join(line.split()[2:]))
