"""What promising costs: CPU an event of the promises' writer, following idly, and a copy that waits for a receipt.

The events are those of the hop's full batches, in topics of the benchmark's own. The writer's own process is measured,
with the Kafka client's threads; a promise is signed with a thousand others or more.
"""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from bench.results import Result, result, told
from bench.world import BenchWorld
from exchange.agencies import BACKBONE_CODE
from exchange.backbone import topics as making
from exchange.backbone.clients import producer
from exchange.backbone.topics import Difference, Topic
from exchange.ledger.promises import PromiseWriter, Signing, Topics
from exchange.ledger.promises.deadlines import Deadlines
from exchange.pipeline.books import PartitionBooks
from exchange.statements import Topic as Submitted

EVENTS, BATCH, ROUNDS = 30_000, 500, 3
COPIES = 100_000
IDLE_S = 8.0
TARGET_US = 20.0
"""A fifth of a core at 10,000 events/s; the ledger's is 10 µs."""

_FIRST_MS = 1_760_000_000_000
_MINE = Topics("bench.trace", "bench.promises", "bench.lapses", "bench.state", {})


def measure(bench: BenchWorld) -> Iterator[Result]:
    """Promise rounds of events; then follow with nothing to do; then let copies wait."""
    config = {"max.message.bytes": "8388608"}
    made = [Topic(name, 1, 1, config) for name in _MINE[:3]]
    made.append(Topic(_MINE.state, 1, 1, {**config, "cleanup.policy": "compact"}))
    making.apply(bench.world.admin, Difference(tuple(made), ()))
    writer = PromiseWriter(bench.world.base, Signing(bench.world.authority.backbone.signing_key, BACKBONE_CODE, _MINE))
    costs, runs = [], []
    for number in range(ROUNDS):
        _happen(bench, number)
        began, clock = time.process_time(), time.perf_counter()
        events = writer.catch_up()
        cpu_s, seconds = time.process_time() - began, time.perf_counter() - clock
        costs.append(1e6 * cpu_s / events)
        runs.append({"events": events, "cpu_us": round(costs[-1], 2), "seconds": round(seconds, 2)})
        told(f"promises: {runs[-1]}")
    yield result("promises.cpu", costs, "µs/event", at_most=TARGET_US, runs=runs)
    yield result("promises.idle", [_idle_ms(writer)], "ms of CPU a second")
    yield result("promises.waiting", [_waiting_bytes()], "bytes a waiting copy")


def _happen(bench: BenchWorld, number: int) -> None:
    out = producer(bench.world.base, linger_ms=20)
    for first in range(number * EVENTS, (number + 1) * EVENTS, BATCH):
        events = [_event(offset) for offset in range(first, first + BATCH)]
        books = PartitionBooks(Submitted.DOCUMENTS, 0, first, first + BATCH, events)
        for record in books.records(7, _FIRST_MS, "hop-1"):
            if record.topic == "trace":
                out.produce(_MINE.trace, record.value, partition=0)
    out.flush(60)


def _event(offset: int, due: int | None = None, recipients: int = 1) -> dict[str, Any]:
    """An accepted document's."""
    sender, name = f"000.00.{offset % 60:02d}.H26", f"{offset:08d}-5d7e-4c36-8e0c-1f0f5b8f0a11"
    copies = [
        {"recipient": f"000.{n % 100:02d}.{n // 100 % 100:02d}.H29", "level": 4, "partition": n % 4}
        | {"redirected_from": None}
        for n in range(recipients)
    ]
    return {
        "offset": offset, "append_ms": _FIRST_MS + offset, "outcome": "accepted", "code": "", "kind": "document",
        "sender": sender, "sender_level": 2, "verified": True, "id": name, "thread": f"{sender}/{name}",
        "sha256": sha256(name.encode()).digest(), "certificate": bytes(32),
        "summary": {
            "business": "new", "code": "123/UBND-VP", "type": "CV", "subject": "Về việc triển khai kế hoạch",
            "issued": 20_370, "urgency": 0, "due": due, "attachments": 1, "bytes": 123_456,
        },
        "status": None, "deliveries": copies, "accepted_offset": -1,
    }  # fmt: skip


def _idle_ms(writer: PromiseWriter) -> float:
    stop = threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    time.sleep(2.0)
    began = time.process_time()
    time.sleep(IDLE_S)
    spent = time.process_time() - began
    stop.set()
    thread.join()
    return 1000 * spent / IDLE_S


def _waiting_bytes() -> float:
    """Memory of the worst case: each document with a deadline goes to one recipient."""
    tracemalloc.start()
    deadlines = Deadlines()
    for offset in range(COPIES):
        deadlines.take(Submitted.DOCUMENTS, _event(offset, due=20_400))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / COPIES
