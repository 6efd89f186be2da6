"""The throughput's view: CPU of Faust a document, and how long until a document is in a window that can be read.

What is counted are the hop's own deltas of full batches, written again and again with offsets that join on, since
counting is faster than the hop. Measured is the process that counts, from the first of them to the last: Faust, its
consumer's thread, the table's changelog, writing to PostgreSQL; not PostgreSQL itself.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from confluent_kafka import TopicPartition

from bench.corpus import Corpus
from bench.following import Progress
from bench.results import Result, result, told
from bench.workers import running_workers
from bench.world import SEED, BenchWorld, bench_world
from exchange.backbone.clients import producer, reader
from exchange.backbone.offsets import ends
from exchange.backbone.reading import record_of
from exchange.backbone.submitting import Submitting, Taken
from exchange.cli.running import options_of
from exchange.local.waiting import wait_until
from exchange.pipeline.books import DELTAS
from exchange.statements import Fields, schema
from exchange.views.throughput.store import Source, ThroughputStore

DOCUMENTS, ROUNDS, AGAIN = 10_000, 3, 20
SEEN = 30
CPU_US_MAX, VISIBLE_S_MAX = 1.0, 2.0
TIMEOUT_S = 120.0


def measure(_: BenchWorld | None = None, documents: int = DOCUMENTS, seen: int = SEEN) -> Iterator[Result]:
    """In a world of its own, whose deltas don't fit its submissions in the end."""
    with bench_world() as bench:
        store = ThroughputStore(bench.world.database_url)
        store.prepare()
        with counting(bench):
            yield _visible(bench, store, seen)
        deltas = _deltas_of(bench, documents)
        with counting(bench) as process:
            yield _cpu(bench, store, process, deltas)


@contextmanager
def counting(bench: BenchWorld) -> Iterator[psutil.Process]:
    """`exchange count`, until the block ends."""
    command = [sys.executable, "-m", "exchange", *options_of(bench.world), "count"]
    log = bench.world.home.run / "bench-count.out"
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as child:
        try:
            yield psutil.Process(child.pid)
        finally:
            child.terminate()


def _visible(bench: BenchWorld, store: ThroughputStore, seen: int) -> Result:
    """Documents one by one, each looked for in the store until it is counted there, by the broker's clock."""
    waits = []
    with running_workers(bench.world):
        submitting = Submitting(bench.world.base)
        for number, one in enumerate(Corpus(bench.cast, SEED, "visible").signed_singly(seen + 1)):
            taken: list[Taken] = []
            submitting.submit([one], taken.append)
            place = taken[0]
            source: Source = (place.topic, place.partition)

            def counted(source: Source = source, offset: int = place.offset) -> bool:
                return store.positions().get(source, 0) > offset

            _until(counted, "a document was not counted")
            if number:  # the first one waits for workers that are starting
                waits.append(time.time() - place.append_ms / 1000)
    run = {"documents": seen, "median_s": round(sorted(waits)[seen // 2], 2)}
    told(f"visible: {run}")
    return result("throughput.window_visible", [max(waits)], "s", at_most=VISIBLE_S_MAX, runs=[run])


def _deltas_of(bench: BenchWorld, documents: int) -> list[Fields]:
    """What the hop wrote about full batches of documents."""
    asking = reader(bench.world.base)
    places = [(DELTAS, partition) for partition in range(bench.world.layout.keyed)]
    asking.assign([TopicPartition(t, p, ends(asking, t, p)[1]) for t, p in places])
    Submitting(bench.world.base, linger_ms=20, queue_buffering_max_kbytes=262_144).submit(
        list(Corpus(bench.cast, SEED, "counted").signed_singly(documents))
    )
    progress = Progress(bench.world)
    with running_workers(bench.world):
        progress.until(documents)
    progress.close()
    found: list[Fields] = []
    while sum(one["next_offset"] - one["previous_next_offset"] for one in found) < documents:
        found += [schema("delta").decode(record_of(message).value) for message in asking.consume(1000, 1.0)]
    asking.close()
    return found


def _cpu(bench: BenchWorld, store: ThroughputStore, process: psutil.Process, deltas: list[Fields]) -> Result:
    joined: dict[Source, int] = {}
    for one in deltas:
        joined[one["topic"], one["partition"]] = one["next_offset"]
    _until(lambda: _reached(store, joined), "what the hop decided was not counted")
    documents = sum(one["next_offset"] - one["previous_next_offset"] for one in deltas)
    costs, runs = [], []
    for _ in range(ROUNDS):
        before, began = process.cpu_times(), time.perf_counter()
        _write_again(bench, deltas, joined)
        _until(lambda: _reached(store, joined), "not all was counted")
        after, seconds = process.cpu_times(), time.perf_counter() - began
        cpu_s = after.user + after.system - before.user - before.system
        costs.append(1e6 * cpu_s / documents / AGAIN)
        runs.append(
            {"documents": documents * AGAIN, "documents_a_delta": round(documents / len(deltas), 1),
             "cpu_us_a_delta": round(1e6 * cpu_s / len(deltas) / AGAIN, 1), "seconds": round(seconds, 2)}
        )  # fmt: skip
        told(f"counted: {runs[-1]}")
    return result("throughput.view_cpu", costs, "µs/document", at_most=CPU_US_MAX, runs=runs)


def _reached(store: ThroughputStore, wanted: dict[Source, int]) -> bool:
    found = store.positions()
    return all(found.get(source, 0) >= offset for source, offset in wanted.items())


def _write_again(bench: BenchWorld, deltas: list[Fields], joined: dict[Source, int]) -> None:
    """Write the deltas `AGAIN` times, behind where each source partition is."""
    out = producer(bench.world.base, linger_ms=20)
    for _ in range(AGAIN):
        for one in deltas:
            source = (one["topic"], one["partition"])
            first, count = joined[source], one["next_offset"] - one["previous_next_offset"]
            joined[source] = first + count
            again: dict[str, Any] = {**one, "previous_next_offset": first, "next_offset": first + count}
            out.produce(DELTAS, schema("delta").encode(again), f"{source[0]}/{source[1]}".encode(), source[1])
            out.poll(0)
    if out.flush(60):
        raise RuntimeError("the deltas could not be written")


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    if not wait_until(holds, TIMEOUT_S):
        raise RuntimeError(f"{otherwise} within {TIMEOUT_S:.0f} s")
