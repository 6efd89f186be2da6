"""What archiving costs: CPU to seal and keep a submission and a trace event, to read one again, and the keys' disk.

Into a folder, from memory: the Kafka client's share of reading isn't in it. An inbox record costs as a submission does.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.results import Result, result, told
from exchange.archive.keys import KeyStore
from exchange.archive.volumes import Volumes
from exchange.backbone.folder import Folder
from exchange.backbone.reading import Read
from exchange.pipeline.books import PartitionBooks
from exchange.statements import Topic, schema

RECORDS, STATEMENT_BYTES, VOLUME, BATCH, ROUNDS = 20_000, 2_048, 2_000, 500, 3
TARGET_US = 100.0
"""A submission, its copy and its event in a quarter of a core at 1,000 documents/s."""

_FIRST_MS = 1_760_000_000_000


def measure(_: object) -> Iterator[Result]:
    """Archive rounds of records, each round into a folder of its own."""
    kept, told_us, read, sizes = [], [], [], []
    submissions, trace = _submissions(), _trace()
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            keys = KeyStore(folder / "keys", bytes(32))
            volumes = Volumes(Folder(folder / "archive"), keys)
            kept.append(_cost(lambda: _keep(volumes, Topic.DOCUMENTS, submissions)))  # noqa: B023  called at once
            told_us.append(_cost(lambda: _keep(volumes, "trace", trace)))  # noqa: B023
            read.append(_cost(lambda: sum(1 for _ in volumes.read(Topic.DOCUMENTS, 0))))  # noqa: B023
            sizes.append(sum(path.stat().st_size for path in (folder / "keys").iterdir()) / (2 * RECORDS))
            keys.close()
        told(f"archive: round {number + 1}, {kept[-1]:.1f} + {told_us[-1]:.1f} µs")
    yield result("archive.submission", kept, "µs/record", at_most=TARGET_US)
    yield result("archive.event", told_us, "µs/event", at_most=TARGET_US)
    yield result("archive.read", read, "µs/record")
    yield result("archive.keys", sizes, "bytes a statement")


def _cost(work: Any) -> float:  # noqa: ANN401
    """CPU of this process, µs a record."""
    began = time.process_time()
    work()
    return 1e6 * (time.process_time() - began) / RECORDS


def _keep(volumes: Volumes, topic: str, values: list[bytes]) -> None:
    step = max(1, len(values) * VOLUME // RECORDS)
    for first in range(0, len(values), step):
        some = values[first : first + step]
        reads = [Read(topic, 0, first + place, _FIRST_MS, b"H26/d", value) for place, value in enumerate(some)]
        volumes.append(topic, 0, first, reads)


def _submissions() -> list[bytes]:
    record = schema("record")
    return [
        record.encode({"statement": os.urandom(STATEMENT_BYTES), "signatures": [], "storage": []})
        for _ in range(RECORDS)
    ]


def _trace() -> list[bytes]:
    values = []
    for first in range(0, RECORDS, BATCH):
        books = PartitionBooks("documents", 0, first, first + BATCH, [_event(n) for n in range(first, first + BATCH)])
        values += [out.value for out in books.records(7, _FIRST_MS, "w-1") if out.topic == "trace"]
    return values


def _event(offset: int) -> dict[str, Any]:
    summary = {
        "business": "new", "code": "12/QĐ-UBND", "type": "QĐ", "subject": "Về việc triển khai nhiệm vụ năm 2026",
        "issued": 20_000, "urgency": 0, "due": None, "attachments": 1, "bytes": 100_000,
    }  # fmt: skip
    return {
        "offset": offset, "append_ms": _FIRST_MS + offset, "outcome": "accepted", "code": "", "kind": "document",
        "sender": "H26", "sender_level": 2, "verified": True, "id": f"d-{offset}", "thread": f"H26/d-{offset}",
        "sha256": sha256(str(offset).encode()).digest(), "certificate": bytes(32), "summary": summary, "status": None,
        "deliveries": [{"recipient": "H29", "level": 2, "partition": 1, "redirected_from": None}],
        "accepted_offset": -1,
    }  # fmt: skip
