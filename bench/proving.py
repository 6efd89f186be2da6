"""The ledger and its evidence: the writer's CPU time an event, a proof in a large tree, and a verification offline.

Without Kafka, which `costs` has: the writer's batches go from trace records to signed tiles, as it cuts them; a proof
reads the tiles that it needs from files of a tree of ten million leaves; evidence is verified as `exchange evidence
verify` does, once it has read the file.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from bench.results import Result, result, told
from bench.world import BenchWorld
from exchange.backbone.folder import Folder
from exchange.backbone.reading import Read
from exchange.backbone.transaction import Transactions
from exchange.ledger.evidence import verify
from exchange.ledger.notes import NoteKey
from exchange.ledger.order import ORDER
from exchange.ledger.store import LedgerStore, tile_reader
from exchange.ledger.tiles import WIDTH, Tile
from exchange.ledger.tree import Frontier, TileTree, check_inclusion
from exchange.ledger.writer import Batches
from exchange.pipeline.books import OutRecord, PartitionBooks
from tests.support import traces
from tests.support.evidence_world import CHECKED_MS, make

EVENTS, EVENTS_PER_RECORD = 60_000, 500
ROUNDS = 5
LEAVES = 10_000_000
PORTION = 1_000_000
PROOFS = 200
VERIFICATIONS = 50
WRITER_US_MAX, PROOF_MS_MAX, VERIFY_MS_MAX = 10, 5, 200


def measure(_: BenchWorld | None = None) -> Iterator[Result]:
    """The three figures."""
    yield _written()
    yield _proved()
    yield _verified()


def _written() -> Result:
    """CPU time of the writer, in this process alone: cutting, salting, hashing, tiles, places, a checkpoint a batch."""
    reads = _trace()
    with tempfile.TemporaryDirectory() as folder:
        spent = [_write(reads, Path(folder) / str(number)) for number in range(ROUNDS)]
    return result("ledger.event_cpu", spent, "µs/event", at_most=WRITER_US_MAX)


def _write(reads: Sequence[Read], folder: Path) -> float:
    store = LedgerStore(Folder(folder), NoteKey.generate("bench/ledger"))
    batches = Batches(cast("Transactions", _NoKafka()), store, ORDER, lambda _: None, lambda _: None)
    began = time.process_time()
    batches.write(reads)
    spent = time.process_time() - began
    if store.size != EVENTS:
        raise RuntimeError(f"{store.size} of {EVENTS} events were written")
    return 1e6 * spent / EVENTS


class _NoKafka:
    """Takes the order, and keeps nothing."""

    def write(self, records: Sequence[OutRecord], *_: object) -> None:
        """One transaction."""


def _trace() -> list[Read]:
    """Accepted documents of one recipient, as the hop writes them in full batches."""
    reads = list[Read]()
    for first in range(0, EVENTS, EVENTS_PER_RECORD):
        partition = first // EVENTS_PER_RECORD % 4
        events = [
            traces.accepted(first + n, traces.H26, f"b-{first + n:07d}-{n:08x}", [traces.G04])
            for n in range(EVENTS_PER_RECORD)
        ]
        books = PartitionBooks("documents", partition, first, first + EVENTS_PER_RECORD, events)
        for record in books.records(7, 0, "hop-1"):
            if record.topic == "trace":
                reads.append(Read("trace", partition, first + len(reads), 0, b"", record.value))
    return reads


def _proved() -> Result:
    """Proofs of single leaves, each by a reader that knows nothing yet: tiles from files, the path, a check."""
    told(f"a tree of {LEAVES:,} leaves")
    chance = random.Random(LEAVES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, leaves = _plant(folder, sorted(chance.sample(range(LEAVES), PROOFS)))
        read, spent = tile_reader(Folder(folder)), list[float]()
        for index, leaf in chance.sample(list(leaves.items()), PROOFS):
            began = time.perf_counter()
            path = TileTree(LEAVES, read).inclusion(index)
            spent.append(1e3 * (time.perf_counter() - began))
            check_inclusion(leaf, index, LEAVES, path, root)
    runs = [{"p50_ms": _at(spent, 0.5), "p99_ms": _at(spent, 0.99), "leaves": LEAVES}]
    return result("ledger.proof", spent, "ms", at_most=PROOF_MS_MAX, runs=runs)


def _plant(folder: Path, wanted: Sequence[int]) -> tuple[bytes, dict[int, bytes]]:
    """A tree of random leaf hashes as tiles; its root, and the hashes of the leaves that are wanted."""
    frontier, found = Frontier(), dict[int, bytes]()
    partial: dict[Tile, bytes] = {}
    for first in range(0, LEAVES, PORTION):
        data = os.urandom(32 * PORTION)
        made = frontier.extend(data[at : at + 32] for at in range(0, len(data), 32))
        found |= {
            index: data[32 * (index - first) : 32 * (index - first) + 32]
            for index in wanted
            if first <= index < first + PORTION
        }
        for tile, hashes in made.items():
            if tile.width == WIDTH:
                _put(folder, tile, hashes)
        partial = {tile: hashes for tile, hashes in made.items() if tile.width < WIDTH}
    for tile, hashes in partial.items():
        _put(folder, tile, hashes)
    return frontier.root(), found


def _put(folder: Path, tile: Tile, hashes: bytes) -> None:
    place = folder / tile.path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(hashes)


def _verified() -> Result:
    """Evidence of a document with a receipt and a time-stamp, among 10,000 other events."""
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder) / "ledger", filler=10_000, stamped=True)
    spent = []
    for _ in range(VERIFICATIONS):
        began = time.perf_counter()
        verdict = verify(made.file, made.anchors, CHECKED_MS)
        spent.append(1e3 * (time.perf_counter() - began))
        if not verdict.holds:
            raise RuntimeError("the evidence isn't good")
    runs = [{"p99_ms": _at(spent, 0.99), "bytes": len(made.file)}]
    return result("evidence.verify", spent, "ms", at_most=VERIFY_MS_MAX, runs=runs)


def _at(values: Sequence[float], share: float) -> float:
    return round(statistics.quantiles(values, n=100)[round(100 * share) - 1], 3)
