"""A ledger without Kafka: a trace and an order as lists, and the folder that the writer's store makes of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange.auditor.books import Coordinates
from exchange.auditor.deep.ledger import LedgerAudit, LedgerCounts
from exchange.auditor.deep.note import log_key
from exchange.auditor.findings import Findings
from exchange.backbone.folder import Folder
from exchange.backbone.reading import Read
from exchange.ledger.leaves import leaves, salted
from exchange.ledger.notes import NoteKey
from exchange.ledger.order import ORDER, Order, Taken
from exchange.ledger.store import LedgerStore
from exchange.statements import Fields, identify, schema
from tests.support import traces

KEY = NoteKey.generate("ledger.test/audited")
PARTITIONS = 3


@dataclass
class LedgerWorld:
    """The topics as lists, and the ledger's folder."""

    folder: Path
    topics: dict[tuple[str, int], list[Read]] = field(default_factory=dict)
    erased: set[Coordinates] = field(default_factory=set)
    firsts: dict[tuple[str, int], int] = field(default_factory=dict)

    def read(self, topic: str, partition: int) -> Iterator[Read]:
        return iter(self.topics.get((topic, partition), []))

    def first(self, topic: str, partition: int) -> int:
        return self.firsts.get((topic, partition), 0)

    def append(self, topic: str, partition: int, value: bytes) -> Read:
        log = self.topics.setdefault((topic, partition), [])
        read = Read(topic, partition, 2 * len(log), 0, b"", value)
        log.append(read)
        return read

    def copy(self, folder: Path) -> LedgerWorld:
        shutil.copytree(self.folder, folder)
        return LedgerWorld(folder, {place: list(log) for place, log in self.topics.items()})

    def audit(self) -> tuple[Findings, LedgerCounts]:
        findings = Findings()
        counts = LedgerAudit(
            Folder(self.folder), log_key(str(KEY.verifier)), self, PARTITIONS, findings, self.erased.__contains__
        ).run()
        return findings, counts

    def alter(self, topic: str, partition: int, place: int, change: Callable[[Fields], object]) -> Read:
        """Change a record's fields in place."""
        log = self.topics[topic, partition]
        found = identify(log[place].value)
        fields = found.decode(log[place].value)
        change(fields)
        log[place] = log[place]._replace(value=found.encode(fields))
        return log[place]

    def swap(self, topic: str, partition: int, place: int) -> None:
        log = self.topics[topic, partition]
        a, b = log[place], log[place + 1]
        log[place], log[place + 1] = b._replace(offset=a.offset), a._replace(offset=b.offset)

    def patch(self, path: str, at: int, data: bytes = b"\xff\x00\xff") -> None:
        place = self.folder / path
        old = place.read_bytes()
        place.write_bytes(old[:at] + data + old[at + len(data) :])


def make(folder: Path, batches: int = 7) -> LedgerWorld:
    """700 events in seven batches over three partitions; the store is opened anew in the middle."""
    world = LedgerWorld(folder)
    store = LedgerStore(Folder(folder), KEY)
    number = 0
    for batch in range(batches):
        if batch == 3:
            store = LedgerStore(Folder(folder), KEY)
        taken, held = list[Taken](), list[bytes]()
        for partition, count in ((batch % PARTITIONS, 70), ((batch + 1) % PARTITIONS, 30)):
            events = [_event(number + n) for n in range(count)]
            number += count
            record: dict[str, Any] = {
                "topic": "documents", "partition": partition, "directory_offset": 7, "hop_ms": 9, "worker": "w",
                "events": events,
            }  # fmt: skip
            read = world.append("trace", partition, schema("trace").encode(record))
            found = leaves(partition, read.offset, read.value)
            taken.append(Taken(partition, read.offset, len(found)))
            held += found
        salts = os.urandom(16 * len(held))
        entries = [salted(salts[16 * n : 16 * n + 16], leaf) for n, leaf in enumerate(held)]
        order = Order(store.size, store.root, os.urandom(16), taken, entries)
        read = world.append(ORDER, 0, order.encode())
        store.take(order, read.offset + 2, salts)
        store.sign()
        store.remember()
    return world


def _event(number: int) -> dict[str, Any]:
    if number % 3:
        return traces.event(number, "H01", f"e-{number}")
    return traces.accepted(number, "H26", f"e-{number}", ["H01", "H02"])
