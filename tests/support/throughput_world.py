"""Deltas, a counting process and a throughput store of a test's own, on the real services.

The process is this module run as a program: the same as `exchange count`, but for its names.
"""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from struct import iter_unpack
from threading import Event
from typing import Any
from unittest.mock import patch

import structlog
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.subscription_state import SubscriptionState
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from exchange.backbone.clients import Config, connection, reader, transactional_producer
from exchange.backbone.offsets import ends
from exchange.backbone.reading import read_to_end
from exchange.cli.output import NO_WORLD
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.errors import Unavailable
from exchange.local.services import Services
from exchange.local.waiting import wait_until
from exchange.pipeline.columns import Columns, Receipt
from exchange.statements import Fields, identify, schema
from exchange.views.throughput import ThroughputStore, stalling
from exchange.views.throughput.counting import Names
from exchange.views.throughput.sketch import bucket_of
from exchange.views.throughput.transport import CommittedConsumer
from exchange.views.throughput.windows import SIZES_MIN
from exchange.views.throughput.worker import count

PARTITIONS = 4
WITHIN_S = 120.0

Key = tuple[int, int, int, int, str, str, str, int]
"""Window's size and start, then the cell."""
Sums = Counter[tuple[Key, str]]
Figures = Counter[tuple[Any, ...]]
"""What is counted beside the cells: by view, its columns but the last, and which sum it is."""

PATHS = ["G00", "G00/G22", "G00/H26", "G00/H26/H26.12", "G00/H29"]


@dataclass
class World:
    """Topics and a store of a test's own. `expected`: what the committed deltas add up to."""

    base: Config
    database_url: str
    names: Names
    schema: str
    folder: Path
    expected: Sums = field(default_factory=Counter)
    next_offsets: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        admin = AdminClient(self.base)
        made = [NewTopic(self.names.deltas, PARTITIONS, 1)]
        made += [
            NewTopic(name, PARTITIONS, 1, config={"cleanup.policy": "compact"})
            for name in (self.names.results, self.names.changelog)
        ]
        for made_topic in admin.create_topics(made).values():
            made_topic.result(20)
        self.producer: Producer = transactional_producer(self.base, f"{self.names.app}-writer")
        self.producer.init_transactions(20)
        self.store = ThroughputStore(self.database_url, self.schema)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, deltas: Sequence[Fields], *, commit: bool = True) -> None:
        """Write deltas in one transaction, and expect their sums if it commits."""
        self.producer.begin_transaction()
        for one in deltas:
            value = schema("delta").encode(one)
            key = f"{one['topic']}/{one['partition']}".encode()
            self.producer.produce(self.names.deltas, value, key, partition=one["partition"])
        if not commit:
            self.producer.flush(20)
            self.producer.abort_transaction(20)
            return
        self.producer.commit_transaction(20)
        for one in deltas:
            self.next_offsets[one["topic"], one["partition"]] = one["next_offset"]
            for cell in one["cells"]:
                self.expected += sums_of(cell)

    def recounted(self) -> Figures:
        """What the committed deltas that lie in the topic say beside their cells, each once."""
        found, reached = Figures(), dict[tuple[str, int], int]()
        starts: dict[tuple[str, int], int | None] = {(self.names.deltas, p): None for p in range(PARTITIONS)}
        for portion in read_to_end(self.base, starts):
            for read in portion:
                delta = identify(read.value).decode(read.value)
                source = (delta["topic"], delta["partition"])
                if delta["next_offset"] > reached.get(source, 0):
                    reached[source] = delta["next_offset"]
                    found += figures_of(delta, read.append_ms)
        return found

    def figures(self) -> Figures:
        """What the store says of the same."""
        return figures_in(self.store)

    def committed(self) -> dict[int, int]:
        """The next offset of each partition of the deltas, as the application's group has committed it."""
        asking = reader(self.base, group_id=self.names.app)
        try:
            asked = [TopicPartition(self.names.deltas, partition) for partition in range(PARTITIONS)]
            return {one.partition: one.offset for one in asking.committed(asked, timeout=20)}
        finally:
            asking.close()

    def ends(self) -> dict[int, int]:
        """Where the partitions of the deltas end; the last offset of each is a transaction's end."""
        asking = reader(self.base)
        try:
            return {partition: ends(asking, self.names.deltas, partition)[1] for partition in range(PARTITIONS)}
        finally:
            asking.close()

    def counted(self) -> int:
        """How many source offsets are counted and stored."""
        return sum(positions(self.store).values())

    def await_counted(self, offsets: int | None = None) -> None:
        """Wait until so many offsets, or all, are counted and stored."""
        wanted = sum(self.next_offsets.values()) if offsets is None else offsets
        assert wait_until(lambda: self._running().counted() >= wanted, WITHIN_S), (
            self.counted(),
            wanted,
            self.output(),
        )

    def _running(self) -> World:
        """Itself, with a process that ended since Faust stalled started again, as a crew does."""
        if self.process is not None and self.process.poll() == NO_WORLD:
            self.start()
        return self

    def rows(self) -> Sums:
        """What the view says."""
        return rows_of(self.store)

    def gaps(self) -> list[tuple[Any, ...]]:
        """The gaps stored."""
        with self.store.snapshot() as database:
            return database.execute("SELECT * FROM gaps ORDER BY 1, 2, 3").fetchall()

    def results(self) -> dict[bytes, bytes]:
        """The topic of results as compaction will leave it."""
        starts: dict[tuple[str, int], int | None] = {(self.names.results, p): None for p in range(PARTITIONS)}
        return {read.key or b"": read.value for portion in read_to_end(self.base, starts) for read in portion}

    @property
    def log(self) -> Path:
        """What the process wrote."""
        return self.folder / f"{self.names.app}.log"

    def output(self) -> str:
        """The end of it."""
        return self.log.read_text(encoding="utf-8")[-3000:] if self.log.exists() else ""

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start a process that counts. `flags`: see `FLAGS`."""
        names = [self.names.app, self.names.deltas, self.names.results]
        command = [sys.executable, "-m", "tests.support.throughput_world", str(self.base["bootstrap.servers"])]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, self.database_url, self.schema, *names, *flags],
                cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return self.process

    def kill(self) -> None:
        """End the process as `kill -9` does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(WITHIN_S) == 0, self.output()

    @contextmanager
    def counting(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process that counts as long as the block lasts, and then stops in order."""
        process = self.start()
        try:
            yield process
            self.stop()
        finally:
            self.kill()


def world_of(services: Services, folder: Path) -> World:
    """A world on the shared services."""
    name = uuid.uuid4().hex[:12]
    names = Names(f"throughput-{name}", f"deltas.{name}", f"throughput.{name}")
    return World(connection(services.bootstrap_servers), services.database_url, names, f"throughput_{name}", folder)


def positions(store: ThroughputStore) -> dict[tuple[str, int], int]:
    """How far each source partition is counted; nothing before the store is made."""
    try:
        return store.positions()
    except Unavailable:
        return {}


def rows_of(store: ThroughputStore) -> Sums:
    """What the view says: every window of every size."""
    found: Sums = Counter()
    with store.snapshot() as database:
        for *key, documents, deliveries, size in database.execute("SELECT * FROM throughput"):
            one: Any = tuple(key)
            found += Counter({(one, "documents"): documents, (one, "deliveries"): deliveries, (one, "bytes"): size})
    return found


def sums_of(cell: Fields) -> Sums:
    """What one cell adds to the windows of each size."""
    sums: Sums = Counter()
    for minutes in SIZES_MIN.values():
        key: Key = (
            minutes, cell["minute"] - cell["minute"] % minutes, cell["sender_level"], cell["recipient_level"],
            cell["kind"], cell["outcome"], cell["code"], cell["urgency"],
        )  # fmt: skip
        sums += Counter({(key, name): cell[name] for name in ("documents", "deliveries", "bytes")})
    return sums


def figures_in(store: ThroughputStore) -> Figures:
    """What the store says beside the cells: every window of every size."""
    found = Figures()
    with store.snapshot() as database:
        for size, start, path, *counts in database.execute("SELECT * FROM throughput_of_subtrees"):
            found += Figures({("subtree", size, start, path, n): count for n, count in enumerate(counts)})
        for *key, counted in database.execute("SELECT * FROM throughput_sketches"):
            found += Figures({("sketch", *key): counted})
    return found


def figures_of(delta: Fields, append_ms: int) -> Figures:
    """What one delta adds beside its cells."""
    found = Figures()
    for minute in delta["minutes"]:
        for n, column in enumerate(("senders", "recipients", "refused", "signers")):
            for path in minute[column].split():
                found += subtree_figures(minute["minute"], path, n)
        for (at_ms,) in iter_unpack("<H", minute["appended"]):
            waited_ms = append_ms - minute["minute"] * 60_000 - at_ms
            found += sketch_figures(minute["minute"], delta["topic"], "latency", 0, waited_ms)
        for level, (wait_ms,) in zip(minute["levels"], iter_unpack("<I", minute["waits"]), strict=True):
            found += sketch_figures(minute["minute"], delta["topic"], "receipt", level, wait_ms)
    return found


def subtree_figures(minute: int, path: str, column: int) -> Figures:
    """One more in a subtree's windows; `column`: which of its sums."""
    return Figures({("subtree", size, minute - minute % size, path, column): 1 for size in (60, 1440)})


def sketch_figures(minute: int, topic: str, measure: str, level: int, ms: int) -> Figures:
    """One more in a sketch's windows."""
    sizes, bucket = SIZES_MIN.values(), bucket_of(ms)
    return Figures({("sketch", size, minute - minute % size, measure, topic, level, bucket): 1 for size in sizes})


class Deltas:
    """A hop's deltas from a seed: eight source partitions whose time goes on, and now and then a step back."""

    def __init__(self, seed: int, minute: int) -> None:
        self._dice = random.Random(seed)
        self._minute = minute
        self._next: dict[tuple[str, int], int] = {}

    def batch(self) -> list[Fields]:
        """The deltas of one transaction, which `commit` makes final; else the next batch begins where it did."""
        if self._dice.random() < 0.1:
            self._minute += 1
        chosen = self._dice.sample([(t, p) for t in ("documents", "statuses") for p in range(PARTITIONS)], 3)
        return [self.delta(topic, partition) for topic, partition in chosen]

    def delta(self, topic: str, partition: int) -> Fields:
        """One delta."""
        dice, first = self._dice, self._next.get((topic, partition), 0)
        cells = [self._cell() for _ in range(dice.randint(1, 4))]
        return {
            "topic": topic,
            "partition": partition,
            "previous_next_offset": first,
            "next_offset": first + sum(cell["documents"] for cell in cells),
            "cells": cells,
            "minutes": [self._columns(topic, minute) for minute in dict.fromkeys(cell["minute"] for cell in cells)],
        }

    def commit(self, deltas: Sequence[Fields]) -> None:
        """Go on behind these."""
        for one in deltas:
            self._next[one["topic"], one["partition"]] = one["next_offset"]

    def _columns(self, topic: str, minute: int) -> Fields:
        dice, made = self._dice, Columns()
        made.appended = [minute * 60_000 + dice.randrange(60_000) for _ in range(dice.randint(0, 20))]
        made.refused = dice.choices(PATHS, k=dice.randint(0, 2))
        if topic == "statuses":
            made.receipts = [Receipt(dice.choice(PATHS), dice.randint(1, 4), dice.randrange(10**9)) for _ in range(5)]
            return made.fields(minute)
        sent, received = dice.choices(PATHS, k=dice.randint(1, 20)), dice.choices(PATHS, k=dice.randint(0, 30))
        return {**made.fields(minute), "senders": " ".join(sent), "recipients": " ".join(received)}

    def _cell(self) -> Fields:
        dice = self._dice
        back = dice.choice([3, 90]) if dice.random() < 0.02 else 0
        documents = dice.randint(1, 200)
        outcome, code = dice.choice([("accepted", ""), ("rejected", "signature.invalid"), ("duplicate", "")])
        return {
            "minute": self._minute - back, "kind": dice.choice(["document", "status"]), "outcome": outcome,
            "code": code, "urgency": dice.randint(0, 3), "sender_level": dice.randint(0, 4), "recipient_level": 0,
            "documents": documents, "deliveries": 2 * documents, "bytes": 1000 * documents,
        }  # fmt: skip


def blind() -> None:
    """Let the client know no topic until it has been given partitions by that: a broker that is just coming back."""
    find, given = ClusterMetadata.partitions_for_topic, SubscriptionState.assign_from_subscribed
    was_given = Event()

    def found(self: ClusterMetadata, topic: str) -> set[int] | None:
        return find(self, topic) if was_given.is_set() else None

    def noted(self: SubscriptionState, *what: Any) -> Any:  # noqa: ANN401
        was_given.set()
        return given(self, *what)

    patch.object(ClusterMetadata, "partitions_for_topic", found).start()
    patch.object(SubscriptionState, "assign_from_subscribed", noted).start()


def late() -> None:
    """Let Faust note all as read after it was sought back, as it does of a record that was on its way meanwhile."""
    seek = CommittedConsumer.perform_seek

    async def sought(self: CommittedConsumer) -> None:
        await seek(self)
        self._read_offset.update(dict.fromkeys(self.assignment(), 2**60))

    patch.object(CommittedConsumer, "perform_seek", sought).start()


def lossy() -> None:
    """Let what is fetched as the third get lost, as it is when partitions move while it is given on."""
    fetch, fetched = CommittedConsumer._getmany, [0]

    async def lost(self: CommittedConsumer, **what: Any) -> Any:  # noqa: ANN401
        records = await fetch(self, **what)
        if not any(tp.topic.startswith("deltas") for tp in records):
            return records
        fetched[0] += 1
        return {} if fetched[0] == 3 else records

    patch.object(CommittedConsumer, "_getmany", lost).start()


def stalled() -> None:
    """Let nothing more be fetched after the second time, and that be noticed soon."""
    fetch, fetched = CommittedConsumer._getmany, [0]

    async def held(self: CommittedConsumer, **what: Any) -> Any:  # noqa: ANN401
        if fetched[0] >= 2:
            await asyncio.sleep(0.1)
            return {}
        records = await fetch(self, **what)
        fetched[0] += any(tp.topic.startswith("deltas") for tp in records)
        return records

    patch.object(CommittedConsumer, "_getmany", held).start()
    patch.object(stalling, "STALLED_S", 3.0).start()


FLAGS: dict[str, Callable[[], None]] = {"--blind": blind, "--late": late, "--lossy": lossy, "--stalled": stalled}
"""What can be made to go wrong in a process that counts."""


def main() -> None:
    """Count until SIGTERM."""
    bootstrap_servers, database_url, schema_name, *names = [one for one in sys.argv[1:] if one not in FLAGS]
    for flag in FLAGS.keys() & set(sys.argv):
        FLAGS[flag]()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop, store = stop_on_signals(), ThroughputStore(database_url, schema_name)
    run_to_its_end(lambda: count(connection(bootstrap_servers), store, stop, Names(*names)))


if __name__ == "__main__":
    main()
