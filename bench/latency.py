"""Latency: from `produce` of a submission to a `read_committed` reader of the inbox holding it, by one clock.

Steady: 500 documents a second. Urgent: 50 a second, while 100,000 bulk documents drain through the same worker; the
bulk goes to other levels than the urgent ones, so that the reader's own work stays small. A worker's first three
seconds, in which it meets every certificate for the first time, are left out of both (`cold_p99_ms`: of those alone).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import TopicPartition

from bench.corpus import Corpus
from bench.following import Progress, span_of
from bench.hop import fill
from bench.results import Result, result, told
from bench.workers import CpuMeter, running_workers
from bench.world import SEED, BenchWorld
from exchange.agencies.levels import Level
from exchange.backbone.clients import reader
from exchange.backbone.offsets import ends
from exchange.backbone.submitting import Outgoing, Submitting
from exchange.pipeline.routing import INBOX_TOPICS
from exchange.statements import KINDS

STEADY_PER_SECOND, STEADY_S = 500, 20
URGENT_PER_SECOND, BACKLOG = 50, 100_000
ROUNDS = 3
WARM_UP_S = 3.0
STEADY_P99_MS_MAX, URGENT_P99_MS_MAX = 50, 120


def measure(bench: BenchWorld, rounds: int = ROUNDS) -> Iterator[Result]:
    """Both, in interleaved rounds."""
    steady: list[dict[str, Any]] = []
    urgent: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        steady.append(_steady(bench, number))
        told(f"round {number}, steady: {steady[-1]}")
        urgent.append(_urgent(bench, number))
        told(f"round {number}, urgent: {urgent[-1]}")
    for quantile in ("p50", "p99", "p99.9"):
        most = STEADY_P99_MS_MAX if quantile == "p99" else None
        runs = steady if quantile == "p99" else []
        values = [run[f"{quantile}_ms"] for run in steady]
        yield result(f"latency.steady_{STEADY_PER_SECOND}.{quantile}", values, "ms", at_most=most, runs=runs)
    for quantile in ("p50", "p99"):
        most = URGENT_P99_MS_MAX if quantile == "p99" else None
        runs = urgent if quantile == "p99" else []
        values = [run[f"{quantile}_ms"] for run in urgent]
        yield result(f"latency.urgent_while_bulk_drains.{quantile}", values, "ms", at_most=most, runs=runs)
    yield result("latency.bulk_meanwhile", [run["bulk_per_second"] for run in urgent], "documents/s")


def _steady(bench: BenchWorld, number: int) -> dict[str, Any]:
    count = int((STEADY_S + WARM_UP_S) * STEADY_PER_SECOND)
    made = list(Corpus(bench.cast, SEED, f"steady-{number}").signed_singly(count))
    with running_workers(bench.world) as processes, CpuMeter({"worker": processes, "broker": [bench.broker]}) as meter:
        arrivals = Arrivals(bench, list(Level))
        began = time.time()
        sent = send_at(bench, made, STEADY_PER_SECOND, threading.Event())
        arrived = arrivals.wait(set(sent))
        ended = time.time()
    return _latencies(sent, arrived) | {"cores_busy": meter.shares(began, ended)}


def _urgent(bench: BenchWorld, number: int) -> dict[str, Any]:
    bulk_to = [level for level in Level if level is not Level.CENTRAL]
    fill(bench, Corpus(bench.cast, SEED, f"bulk-{number}", bulk_to).signed_singly(BACKLOG))
    made = list(Corpus(bench.cast, SEED, f"urgent-{number}", [Level.CENTRAL]).signed_singly(5_000, urgency=2))
    progress = Progress(bench.world)
    arrivals = Arrivals(bench, [Level.CENTRAL])
    drained = threading.Event()
    with running_workers(bench.world) as processes, CpuMeter({"worker": processes, "broker": [bench.broker]}) as meter:
        under_way = sum(batch.documents for batch in progress.until(1_000))
        sending = Sending(bench, made, URGENT_PER_SECOND, drained)
        batches = progress.until(BACKLOG - under_way, topic="documents")
        drained.set()
        sent = sending.join()
        arrived = arrivals.wait(set(sent))
    progress.close()
    span = span_of([batch for batch in batches if batch.topic == "documents"])
    return _latencies(sent, arrived) | {
        "bulk_per_second": round(span.per_second),
        "cores_busy": meter.shares(span.begin, span.end),
    }


class Arrivals:
    """A `read_committed` reader of inboxes in a thread of its own: when each key was first read."""

    def __init__(self, bench: BenchWorld, levels: Sequence[Level]) -> None:
        self._consumer = reader(bench.world.base, fetch_wait_max_ms=10)
        self._consumer.assign(
            [
                TopicPartition(topic, partition, ends(self._consumer, topic, partition)[1])
                for topic in (INBOX_TOPICS[level] for level in levels)
                for partition in range(bench.world.layout.inbox)
            ]
        )
        self._times: dict[bytes, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="arrivals")
        self._thread.start()

    def wait(self, keys: set[bytes], timeout_s: float = 120.0) -> dict[bytes, float]:
        """When each of these arrived, once all have; RuntimeError if they don't."""
        deadline = time.monotonic() + timeout_s
        while not keys <= self._times.keys() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._over.set()
        self._thread.join()
        self._consumer.close()
        if missing := keys - self._times.keys():
            raise RuntimeError(f"{len(missing)} documents did not arrive")
        return self._times

    def _read(self) -> None:
        while not self._over.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                key = message.key()
                if isinstance(key, bytes):
                    self._times.setdefault(key, time.monotonic())


class Sending:
    """`send_at` in a thread."""

    def __init__(self, bench: BenchWorld, made: Sequence[Outgoing], per_second: float, over: threading.Event) -> None:
        self._sent: dict[bytes, float] = {}

        def run() -> None:
            self._sent = send_at(bench, made, per_second, over)

        self._thread = threading.Thread(target=run, name="sending")
        self._thread.start()

    def join(self) -> dict[bytes, float]:
        """When each key was sent."""
        self._thread.join()
        return self._sent


def send_at(
    bench: BenchWorld, made: Sequence[Outgoing], per_second: float, over: threading.Event
) -> dict[bytes, float]:
    """Send at a steady pace until all are sent or it is `over`; when each key was sent."""
    out = Submitting(bench.world.base, linger_ms=0)
    sent: dict[bytes, float] = {}
    began = time.monotonic()
    for number, one in enumerate(made):
        pause = began + number / per_second - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        if over.is_set():
            break
        sent[KINDS[one.kind].key(one.fields).encode()] = time.monotonic()
        out.send(one)
    out.flush()
    return sent


def _latencies(sent: dict[bytes, float], arrived: dict[bytes, float]) -> dict[str, Any]:
    """What documents took after the warm-up, and in it."""
    warm_from = min(sent.values()) + WARM_UP_S
    cold = _quantiles([arrived[key] - at for key, at in sent.items() if at < warm_from])
    warm = _quantiles([arrived[key] - at for key, at in sent.items() if at >= warm_from])
    return warm | {"cold_p99_ms": cold["p99_ms"]}


def _quantiles(seconds: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1)

    return {"documents": len(ordered), "p50_ms": at(0.5), "p99_ms": at(0.99), "p99.9_ms": at(0.999)}
