"""A month of the national axis: 550,000 documents through the hop, into the trace store, and audited.

Two workers and the projection run at once, as `exchange run` has them; the audit reads everything afterwards. The
documents lie in the topic when it begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from bench.corpus import Corpus
from bench.following import Progress
from bench.hop import fill
from bench.results import Result, result, told
from bench.workers import running_workers
from bench.world import SEED, BenchWorld, bench_world
from exchange.auditor import audit
from exchange.local.waiting import wait_until
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore

DOCUMENTS, WORKERS = 550_000, 2
SECONDS_MAX = 120
TRACE_TIMEOUT_S = 600.0


def measure(_: BenchWorld, documents: int = DOCUMENTS) -> Iterator[Result]:
    """Once, in a world of its own."""
    with bench_world() as bench:
        told(f"signing {documents:,} documents")
        fill(bench, Corpus(bench.cast, SEED, "month").signed_singly(documents))
        stop, projection = threading.Event(), TraceProjection(bench.world.base, TraceStore(bench.world.database_url))
        progress = Progress(bench.world)
        began = time.monotonic()
        tracing = threading.Thread(target=projection.run, args=(stop,), name="projection")
        tracing.start()
        with running_workers(bench.world, WORKERS):
            progress.until(documents)
        accepted_s = time.monotonic() - began
        wait_until(lambda: projection.events >= documents, TRACE_TIMEOUT_S)
        stop.set()
        tracing.join()
        traced_s = time.monotonic() - began
        balance = audit(bench.world.base, bench.world.authority.registrar_public_key)
        total_s = time.monotonic() - began
        progress.close()
    if not balance.holds or projection.events != documents:
        raise RuntimeError(f"the books don't balance, or {projection.events} of {documents} events were traced")
    run = {"documents": documents, "accepted_s": accepted_s, "traced_s": traced_s, "audited_s": total_s}
    yield result("month", [total_s], "s", at_most=SECONDS_MAX, runs=[{k: round(v, 1) for k, v in run.items()}])
