"""What a statement costs beyond the hop's CPU time: bytes by topic, transactions, restoring, and each of the views.

`bench/scale.py` models the nation from these figures. Everything is counted in a world of its own: documents that lie
in the topic already (full batches), statuses about them, documents that trickle in (a transaction each, or nearly),
then what the trace store, the auditor, the ledger and Faust make of all that.

Not measured: more than one replica, a network, index files (about a thousandth of a log) and Kafka's own topics.
"""

from __future__ import annotations

import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.corpus import Corpus
from bench.following import Progress, span_of
from bench.given import line
from bench.latency import send_at
from bench.results import Result, result, told
from bench.workers import CpuMeter, running_workers
from bench.world import SEED, BenchWorld, bench_world
from exchange.auditor import audit
from exchange.backbone import topics
from exchange.backbone.changelog import restore
from exchange.backbone.clients import producer, reader, transactional_producer
from exchange.backbone.folder import Folder
from exchange.backbone.hop import GROUP
from exchange.backbone.offsets import committed
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.backbone.topics import Difference, Topic
from exchange.backbone.transaction import Transactions
from exchange.cli.running import options_of
from exchange.ledger.keys import ensure_key
from exchange.ledger.writer import LedgerWriter
from exchange.local.founding import now_ms
from exchange.local.waiting import wait_until
from exchange.pipeline.books import DELTAS, OutRecord
from exchange.pipeline.outputs import CHANGELOG
from exchange.pipeline.store import pack
from exchange.signatures import sign_record
from exchange.statements import KINDS, SUBMISSION_TOPICS, schema
from exchange.statements import Topic as Submitted
from exchange.statements.chain import WAITING
from exchange.statements.compose import encode, status
from exchange.statements.status import ACCEPTED
from exchange.views.throughput.store import ThroughputStore
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore

DOCUMENTS = 10_000
SETTLE_S, IDLE_S = 2.0, 8.0
TRICKLE_PER_SECOND, TRICKLE = 40, 500
SPREADS = (1, 8, 32, 64)
"""Partitions that a transaction writes to."""
TRANSACTION_ROUNDS, TRANSACTIONS = 6, 20
DELTAS_COUNTED = 10_000
CLAIMS, CLAIMS_PER_RECORD = 50_000, 1_000
TIMEOUT_S = 120.0
_SPREAD_TOPIC = "bench.spread"

Sizes = dict[str, int]
"""Bytes of the logs, by topic."""


def measure(_: BenchWorld | None = None, documents: int = DOCUMENTS) -> Iterator[Result]:
    """Each cost once, in a world of its own; what damages the world comes last."""
    with bench_world() as bench:
        yield result("costs.worker_empty", [_empty_worker_mb(bench)], "MB")
        made = list(Corpus(bench.cast, SEED, "costs").signed_singly(documents))
        taken: dict[str, Taken] = {}
        yield _drained(bench, "document", made, taken)
        yield _projected(bench, "document", len(made))
        answers = list(statuses(bench, made, taken))
        yield _drained(bench, "status", answers, {})
        yield _projected(bench, "status", len(answers))
        yield _transactions(bench)
        _trickled(bench, "warm")  # the broker's compiler works at that for seconds
        yield _trickled(bench, "trickled")
        yield _idle_worker(bench)
        yield _audited(bench, len(made) + len(answers) + 2 * TRICKLE)
        yield _ledger(bench)
        yield _counted(bench)
        yield from _restored(bench)


def _drained(bench: BenchWorld, kind: str, made: Sequence[Outgoing], taken: dict[str, Taken]) -> Result:
    """Let one worker go through records that lie in the topic; bytes and CPU a statement, in full batches."""
    before = _log_sizes(bench)
    submitting = Submitting(bench.world.base, linger_ms=20, queue_buffering_max_kbytes=262_144)
    submitting.submit(made, lambda one: taken.update({one.id: one}))
    progress = Progress(bench.world)
    with running_workers(bench.world) as workers, _meter(bench, workers) as meter:
        batches = progress.until(len(made))
    progress.close()
    span = span_of(batches)
    costs = {
        f"{name}_us": round(1e6 * meter.spent(name, span.begin, span.end) / span.documents, 1)
        for name in ("worker", "broker")
    }
    busy = {"cores_busy": meter.shares(span.begin, span.end)}
    return _appended(f"costs.{kind}.drained", bench, before, len(made), len(batches), costs | busy)


def _trickled(bench: BenchWorld, name: str) -> Result:
    """Let documents come one by one, so that each is a transaction, or nearly."""
    made = list(Corpus(bench.cast, SEED, name).signed_singly(TRICKLE))
    progress = Progress(bench.world)
    with running_workers(bench.world) as workers:
        _await_assigned(bench)
        before = _log_sizes(bench)
        with _meter(bench, workers) as meter:
            began = time.time()
            send_at(bench, made, TRICKLE_PER_SECOND, threading.Event())
            batches = progress.until(len(made))
            ended = time.time()
    progress.close()
    costs = {f"{name}_us": round(1e6 * meter.spent(name, began, ended) / TRICKLE, 1) for name in ("worker", "broker")}
    costs["per_second"] = TRICKLE_PER_SECOND
    busy = {"cores_busy": meter.shares(began, ended)}
    return _appended(f"costs.document.{name}", bench, before, len(made), len(batches), costs | busy)


def _appended(
    name: str, bench: BenchWorld, before: Sizes, statements: int, deltas: int, costs: dict[str, Any]
) -> Result:
    """The bytes that the logs grew by. `deltas`: one for each transaction and source partition."""
    grown = {topic: size - before.get(topic, 0) for topic, size in _log_sizes(bench).items()}
    by_topic = {topic: round(size / statements, 1) for topic, size in grown.items() if size}
    run = {"statements": statements, "deltas": deltas, "bytes": by_topic, **costs}
    told(f"{name}: {run}")
    return result(name, [sum(by_topic.values())], "B/statement", runs=[run])


def _log_sizes(bench: BenchWorld) -> Sizes:
    """Of the topics of the exchange; an embedded Kafka has one replica."""
    sizes: Sizes = {}
    names = {topic.name for topic in bench.world.layout.topics}
    for log in bench.world.home.kafka.glob("node-1/*/*.log"):
        topic = log.parent.name.rpartition("-")[0]
        if topic in names:
            sizes[topic] = sizes.get(topic, 0) + log.stat().st_size
    return sizes


def statuses(bench: BenchWorld, made: Iterable[Outgoing], taken: dict[str, Taken]) -> Iterator[Outgoing]:
    """Every recipient's receipt for every copy."""
    for one in made:
        for recipient in one.fields["to"]:
            fields = status(
                recipient,
                f"r-{secrets.token_hex(12)}",
                one.fields,
                ACCEPTED,
                signed_ms=now_ms(),
                document_append_ms=taken[one.fields["id"]].append_ms,
                thread=KINDS["document"].key(one.fields),
            )
            key = bench.cast.members[recipient].key
            yield Outgoing("status", fields, sign_record(encode("status", fields), [key], []))


def _transactions(bench: BenchWorld) -> Result:
    """How long a transaction takes by the partitions that it writes to, one small record to each; interleaved."""
    topic = Topic(_SPREAD_TOPIC, max(SPREADS), 1, {})
    topics.apply(bench.world.admin, Difference((topic,), ()))
    transactions = Transactions(transactional_producer(bench.world.base, "bench-spread"), lambda _: None)
    seen: dict[int, list[tuple[float, float]]] = {spread: [] for spread in SPREADS}
    for _ in range(TRANSACTION_ROUNDS):
        for spread in SPREADS:
            records = [OutRecord(_SPREAD_TOPIC, partition, b"", bytes(100)) for partition in range(spread)]
            with _meter(bench, []) as meter:
                began = time.time()
                for _ in range(TRANSACTIONS):
                    transactions.write(records, [], None)
                ended = time.time()
            seen[spread].append((ended - began, meter.spent("broker", began, ended)))
    runs = [
        {
            "partitions": spread,
            "ms": round(1e3 * statistics.median(wall for wall, _ in rounds) / TRANSACTIONS, 2),
            "broker_us": round(1e6 * statistics.median(cpu for _, cpu in rounds) / TRANSACTIONS),
        }
        for spread, rounds in seen.items()
    ]
    told(f"transactions: {runs}")
    _, slope = line([(run["partitions"], run["ms"]) for run in runs])
    return result("costs.transaction", [slope], "ms/partition", runs=runs)


def _empty_worker_mb(bench: BenchWorld) -> float:
    """A worker that knows the directory and remembers nothing."""
    with running_workers(bench.world) as [worker]:
        _await_assigned(bench)
        return float(worker.memory_info().rss) / 1e6


def _idle_worker(bench: BenchWorld) -> Result:
    """What a worker that has nothing to do but to ask costs the broker, beyond what that needs by itself."""
    alone = _idle_cores(bench, [])
    with running_workers(bench.world) as workers:
        _await_assigned(bench)
        asked = _idle_cores(bench, workers)
    run = {"worker_cores": asked[0], "broker_cores": asked[1], "broker_alone_cores": alone[1]}
    told(f"idle worker: {run}")
    return result("costs.worker_idle", [max(asked[1] - alone[1], 0.0)], "cores of a broker", runs=[run])


def _idle_cores(bench: BenchWorld, workers: Sequence[psutil.Process]) -> tuple[float, float]:
    """Cores that workers and broker keep busy while nothing happens."""
    with _meter(bench, workers) as meter:
        time.sleep(SETTLE_S)  # what was begun before is over by then
        began = time.time()
        time.sleep(IDLE_S)
        ended = time.time()
    worker, broker = (round(meter.spent(name, began, ended) / (ended - began), 3) for name in ("worker", "broker"))
    return worker, broker


def _projected(bench: BenchWorld, kind: str, events: int) -> Result:
    """What the trace store makes of what was accepted since last time: rows a second, bytes a statement."""
    store = TraceStore(bench.world.database_url)
    store.prepare()
    before = _stored_bytes(store)
    began = time.perf_counter()
    found = TraceProjection(bench.world.base, store).catch_up()
    seconds = time.perf_counter() - began
    if found != events:
        raise RuntimeError(f"{found} of {events} events were traced")
    stored = round((_stored_bytes(store) - before) / events, 1)
    run = {"events": events, "seconds": round(seconds, 2), "bytes_per_event": stored}
    told(f"trace store, {kind}: {run}")
    return result(f"costs.trace_store.{kind}", [events / seconds], "events/s", runs=[run])


def _stored_bytes(store: TraceStore) -> int:
    """Tables with their indexes."""
    with store.connect() as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'",
            [store.schema],
        ).fetchone()
    return int(row[0]) if row else 0


def _audited(bench: BenchWorld, submissions: int) -> Result:
    directory = bench.world.directory_log.directory
    began = time.perf_counter()
    balance = audit(bench.world.base, directory)
    seconds = time.perf_counter() - began
    if not balance.holds:
        raise RuntimeError("the books don't balance")
    run = {"submissions": submissions, "seconds": round(seconds, 2)}
    return result("costs.audit", [1e6 * seconds / submissions], "µs/submission", runs=[run])


def _ledger(bench: BenchWorld) -> Result:
    """CPU time, bytes and files of the ledger an event, at its largest batches."""
    before = _log_sizes(bench).get("ledger.order", 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = ensure_key(folder / "ledger.key", "bench/ledger")
        began, clock = time.process_time(), time.perf_counter()
        events = LedgerWriter(bench.world.base, Folder(folder / "ledger"), key).catch_up()
        cpu_s, seconds = time.process_time() - began, time.perf_counter() - clock
        files = [path.stat().st_size for path in (folder / "ledger").rglob("*") if path.is_file()]
    order = _log_sizes(bench).get("ledger.order", 0) - before
    run = {
        "events": events,
        "seconds": round(seconds, 2),
        "bytes_per_event": round(sum(files) / events, 1),
        "order_bytes_per_event": round(order / events, 1),
        "files_per_thousand": round(1000 * len(files) / events, 2),
    }
    told(f"ledger: {run}")
    return result("costs.ledger", [1e6 * cpu_s / events], "µs/event", runs=[run])


def _counted(bench: BenchWorld) -> Result:
    """CPU time of Faust a delta, each with what one document adds."""
    store = ThroughputStore(bench.world.database_url)
    store.prepare()
    command = [sys.executable, "-m", "exchange", *options_of(bench.world), "count"]
    log = bench.world.home.run / "bench-count.out"
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as child:
        try:
            decided = _decided(bench)
            _until(lambda: _positions(store) == decided, "Faust did not count what the hop decided")
            counting = psutil.Process(child.pid)
            before = counting.cpu_times()
            wanted = _produce_deltas(bench, decided)
            _until(lambda: _positions(store) == wanted, "Faust did not count all")
            after = counting.cpu_times()
        finally:
            child.terminate()
    cpu_s = after.user + after.system - before.user - before.system
    return result("costs.throughput", [1e6 * cpu_s / DELTAS_COUNTED], "µs/delta")


def _positions(store: ThroughputStore) -> dict[int, int]:
    """The next offset counted of each partition of `documents`."""
    return {p: offset for (topic, p), offset in store.positions().items() if topic == Submitted.DOCUMENTS}


def _decided(bench: BenchWorld) -> dict[int, int]:
    """The hop's next offset of each partition of `documents`."""
    asking = reader(bench.world.base, group_id=GROUP)
    try:
        found = committed(asking, range(bench.world.layout.keyed))
    finally:
        asking.close()
    return {p: offset for (topic, p), offset in found.items() if topic == Submitted.DOCUMENTS}


def _produce_deltas(bench: BenchWorld, positions: dict[int, int]) -> dict[int, int]:
    """Deltas that join on to what was counted; returns where they end."""
    out, ends = producer(bench.world.base), dict(positions)
    minute = now_ms() // 60_000
    for number in range(DELTAS_COUNTED):
        partition = number % len(positions)
        sender, recipient = 1 + number % 4, 1 + number // 4 % 4
        cell = {
            "minute": minute, "kind": "document", "outcome": "accepted", "code": "", "urgency": 0,
            "sender_level": sender, "documents": 1, "deliveries": 1, "bytes": 0,
        }  # fmt: skip
        fields = {
            "topic": Submitted.DOCUMENTS,
            "partition": partition,
            "previous_next_offset": ends[partition],
            "next_offset": ends[partition] + 1,
            "cells": [cell | {"recipient_level": 0}, cell | {"recipient_level": recipient}],
            "minutes": [
                {
                    "minute": minute,
                    "appended": bytes(2),
                    "senders": "G00/H26/H26.12",
                    "recipients": "G00/H29",
                    "refused": "",
                    "signers": "",
                    "levels": b"",
                    "waits": b"",
                }
            ],
        }
        ends[partition] += 1
        out.produce(DELTAS, schema("delta").encode(fields), b"", partition)
        out.poll(0)
    if out.flush(60):
        raise RuntimeError("the deltas could not be written")
    return ends


def _restored(bench: BenchWorld) -> Iterator[Result]:
    """What a claim costs a worker that restores, many to a changelog record and one to a record."""
    for name, partition, per_record in (("many", 0, CLAIMS_PER_RECORD), ("one", 1, 1)):
        idle_s = _restore_s(bench, partition)
        _remember(bench, partition, per_record)
        run = {"claims": CLAIMS, "seconds": round(_restore_s(bench, partition) - idle_s, 3)}
        told(f"restoring, {name} to a record: {run}")
        yield result(f"costs.restore.{name}_a_record", [1e6 * run["seconds"] / CLAIMS], "µs/claim", runs=[run])


def _restore_s(bench: BenchWorld, partition: int) -> float:
    began = time.perf_counter()
    restore(bench.world.base, {}, {partition: 0})
    return time.perf_counter() - began


def _remember(bench: BenchWorld, partition: int, per_record: int) -> None:
    """Claims of one recipient each, as the hop writes them."""
    out = producer(bench.world.base)
    claim = pack(secrets.token_bytes(32), 0, now_ms(), Submitted.DOCUMENTS, [0], bytes((WAITING,)))
    for number in range(CLAIMS // per_record):
        fields = {
            "partition": partition,
            "covers": [{"topic": topic, "next_offset": 0} for topic in SUBMISSION_TOPICS],
            "claims": (number + 1) * per_record,
            "carried": [],
            "puts": [{"key": secrets.token_bytes(16), "value": claim} for _ in range(per_record)],
            "moves": [],
            "forgets": [],
        }
        while True:
            try:
                out.produce(CHANGELOG, schema("changelog").encode(fields), b"", partition)
                break
            except BufferError:
                out.poll(0.1)
    if out.flush(60):
        raise RuntimeError("the claims could not be written")


def _meter(bench: BenchWorld, workers: Sequence[psutil.Process]) -> CpuMeter:
    return CpuMeter({"worker": workers, "broker": [bench.broker]})


def _await_assigned(bench: BenchWorld) -> None:
    """Wait until a worker that was just started has taken over its partitions."""
    log = bench.world.home.run / "bench-workers.out"
    before = log.read_bytes().count(b"hop.assigned")
    _until(lambda: log.read_bytes().count(b"hop.assigned") > before, "no worker took over")


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    if not wait_until(holds, TIMEOUT_S):
        raise RuntimeError(f"{otherwise} within {TIMEOUT_S:.0f} s")
