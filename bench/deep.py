"""The ledger's writer over Kafka; and the deep audit, of every signature and without.

The audit with signatures is held against what two cores verify with nothing around it.
A world of its own with the mix of `costs`: documents, each signed by itself, and a receipt for every copy. Ledger and
trace store are caught up before; everything is compared (see docs/deep-audit.md), in a process a core, whose start
counts. The broker and PostgreSQL, which they read from, have the same two cores.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

from bench.corpus import Corpus
from bench.costs import statuses
from bench.following import Progress
from bench.results import Result, result, told
from bench.workers import running_workers
from bench.world import SEED, BenchWorld, bench_world
from bench.yardstick import verified_per_second
from exchange.auditor import Balance, take_cut
from exchange.backbone.submitting import Submitting, Taken
from exchange.cli.auditing import Going, shared
from exchange.cli.ledger import folder_of, key_of
from exchange.ledger.writer import LedgerWriter
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore

DOCUMENTS = 30_000
ROUNDS = 3
CORES = 2
LEDGER_US_MAX, LEDGER_PER_S_MIN = 10, 5_000
SIGNED_RATIO_MIN, RECORDS_PER_S_MIN = 0.8, 50_000


def measure(_: BenchWorld | None = None, documents: int = DOCUMENTS) -> Iterator[Result]:
    """Both figures, rounds interleaved."""
    with bench_world() as bench:
        _fill(bench, documents)
        yield from _ledger(bench)
        store = TraceStore(bench.world.database_url)
        store.prepare()
        TraceProjection(bench.world.base, store).catch_up()
        signed, unsigned = list[dict[str, float]](), list[dict[str, float]]()
        for _round in range(ROUNDS):
            per_core = verified_per_second()
            signed.append(_audited(bench, signatures=True) | {"one_core_per_s": per_core})
            unsigned.append(_audited(bench, signatures=False))
            told(f"deep audit: {signed[-1]}, without signatures: {unsigned[-1]}")
    ratios = [run["signatures"] / run["seconds"] / (CORES * run["one_core_per_s"]) for run in signed]
    yield result("audit.deep.signed", ratios, "× two cores' verification", at_least=SIGNED_RATIO_MIN, runs=signed)
    rates = [run["records"] / run["seconds"] for run in unsigned]
    yield result("audit.deep.unsigned", rates, "records/s", at_least=RECORDS_PER_S_MIN, runs=unsigned)


def _fill(bench: BenchWorld, documents: int) -> None:
    """Let documents and their receipts go through the hop."""
    taken: dict[str, Taken] = {}
    made = list(Corpus(bench.cast, SEED, "deep").signed_singly(documents))
    for kind in ("documents", "receipts"):
        some = made if kind == "documents" else list(statuses(bench, made, taken))
        submitting = Submitting(bench.world.base, linger_ms=20, queue_buffering_max_kbytes=262_144)
        submitting.submit(some, lambda one: taken.update({one.id: one}))
        progress = Progress(bench.world)
        with running_workers(bench.world):
            progress.until(len(some))
        progress.close()


def _ledger(bench: BenchWorld) -> Iterator[Result]:
    """The writer over Kafka and disk: its CPU time an event, and how many events it takes in a second."""
    writer = LedgerWriter(bench.world.base, folder_of(bench.world), key_of(bench.world))
    began, cpu = time.perf_counter(), time.process_time()
    events = writer.catch_up()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    runs = [{"events": events, "seconds": round(seconds, 2), "cpu_s": round(cpu_s, 2)}]
    yield result("ledger.writer_cpu", [1e6 * cpu_s / events], "µs/event", at_most=LEDGER_US_MAX, runs=runs)
    yield result("ledger.rate", [events / seconds], "events/s", at_least=LEDGER_PER_S_MIN, runs=runs)


def _audited(bench: BenchWorld, *, signatures: bool) -> dict[str, float]:
    began, cpu = time.perf_counter(), _cpu_s()
    cut = take_cut(bench.world.base, "hop")
    balance = shared(Going(bench.world, cut, None, archive=False, deep=True, signatures=signatures), CORES)
    seconds, cpu_s = time.perf_counter() - began, _cpu_s() - cpu
    if not balance.holds:
        raise RuntimeError(f"the deep audit found {balance.findings[:3]}")
    return {"seconds": round(seconds, 2), "cpu_s": round(cpu_s, 2), **_sizes(balance)}


def _cpu_s() -> float:
    """CPU time of this process and of those that it waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _sizes(balance: Balance) -> dict[str, float]:
    compared = balance.compared or {}
    records = sum(balance.records_read.values())
    return {"records": records, "submissions": balance.total.records.submitted, **compared}
