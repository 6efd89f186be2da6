"""A trace topic, an order topic and a ledger folder of a test's own, and a check of all that must hold there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from exchange.backbone.clients import Config, connection, producer
from exchange.backbone.folder import Folder
from exchange.backbone.reading import Read, read_to_end
from exchange.ledger import places
from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.leaves import leaves, salted
from exchange.ledger.notes import NoteKey
from exchange.ledger.store import signed, tile_reader
from exchange.ledger.tiles import Tile, at_level, entries_path, unbundle
from exchange.ledger.tree import TileTree
from exchange.ledger.writer import LedgerWriter
from exchange.local.services import Services
from exchange.signatures.merkle import leaf_hash, root
from tests.support import traces

PARTITIONS = 4


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


@dataclass
class LedgerWorld:
    """What one test of the writer works with."""

    base: Config
    folder: Path
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    key: NoteKey = field(default_factory=lambda: NoteKey.generate("ledger.test"))

    def __post_init__(self) -> None:
        self.trace, self.order = f"trace.{self.name}", f"order.{self.name}"
        admin = AdminClient(self.base)
        settings = {"max.message.bytes": "8388608"}
        topics = [NewTopic(self.trace, PARTITIONS, 1, config=settings), NewTopic(self.order, 1, 1, config=settings)]
        for made in admin.create_topics(topics).values():
            made.result(20)
        self._producer = producer(self.base)
        self._next = [0] * PARTITIONS

    def happen(self, partition: int, count: int) -> None:
        """Let `count` submissions of a partition be decided, in one transaction of the hop."""
        start = self._next[partition]
        self._next[partition] += count
        events = [traces.accepted(n, traces.H26, f"{partition}-{n}", [traces.G04]) for n in range(start, start + count)]
        for value in traces.records(partition, events):
            self._producer.produce(self.trace, value, partition=partition)
        assert self._producer.flush(30) == 0

    def writer(self, probe: Callable[[str], None] = lambda _: None) -> LedgerWriter:
        """A new writer, as a new process would make it."""
        return LedgerWriter(
            self.base, Folder(self.folder), self.key, trace=self.trace, order=self.order, probe=probe
        )  # fmt: skip

    def events(self) -> dict[tuple[int, int, int], bytes]:
        """Every event of the trace topic as a leaf, by its coordinates."""
        starts: dict[tuple[str, int], int | None] = {(self.trace, p): None for p in range(PARTITIONS)}
        reads: list[Read] = [read for portion in read_to_end(self.base, starts) for read in portion]
        return {
            (read.partition, read.offset, index): leaf
            for read in reads
            for index, leaf in enumerate(leaves(read.partition, read.offset, read.value))
        }

    def checkpoint(self) -> Checkpoint:
        """The signed one."""
        found = signed(Folder(self.folder), self.key.verifier)
        assert found is not None
        return found

    def check(self) -> Checkpoint:
        """Every event of the trace is in the signed tree exactly once, and can be shown; returns the checkpoint."""
        folder, checkpoint, events = Folder(self.folder), self.checkpoint(), self.events()
        assert checkpoint.size == len(events)
        entries: list[bytes] = []
        for number, tile in enumerate(at_level(0, checkpoint.size)):
            data = folder.read(entries_path(number, tile.width)) or folder.read(entries_path(number))
            assert data is not None
            entries += unbundle(data, len(data) // 34)[: tile.width]
        assert root([leaf_hash(entry) for entry in entries]) == checkpoint.root
        assert TileTree(checkpoint.size, tile_reader(folder)).root() == checkpoint.root
        for level in range(3):
            for tile in at_level(level, checkpoint.size):
                assert tile_reader(folder)(Tile(*tile))
        seen = set()
        for (partition, offset, index), leaf in events.items():
            found = places.find(folder, checkpoint.size, partition, offset, index)
            assert found is not None, (partition, offset, index)
            at, place = found
            assert salted(place.salt, leaf) == entries[at]
            seen.add(at)
        assert len(seen) == checkpoint.size
        return checkpoint


def ledger_world(services: Services, folder: Path) -> LedgerWorld:
    """A world of its own on the shared services."""
    return LedgerWorld(connection(services.bootstrap_servers), folder / "ledger")
