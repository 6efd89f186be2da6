"""What an edXML packet costs at the connector: CPU of reading a small one and a large one, and of building one.

By CPU time of this process, so other programs on the machine matter little; files are on its own disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bench.results import Result, result
from bench.world import BenchWorld
from connectors.edxml.building import build_document
from connectors.edxml.drafting import document_fields
from connectors.edxml.packet import Organ, Packet, open_packet
from exchange.sdk import compose
from exchange.statements import KINDS

ROUNDS, SMALL = 5, 200
LARGE_BYTES = 30_000_000
DAY = date(2026, 1, 15)
_SIGNED_MS = 1_768_440_000_000


def measure(_: BenchWorld) -> Iterator[Result]:
    """Read and build packets, in rounds."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        content = Random(1).randbytes(LARGE_BYTES)  # as incompressible as a scan
        small, large = _built(folder, b"x" * 2_000), _built(folder, content)
        reading = [_cpu_s(lambda: _read(small, folder), SMALL) * 1e6 for _ in range(ROUNDS)]
        yield result("edxml.read_us", reading, "µs of CPU a packet of 3 kB")
        rates = [large.stat().st_size / 1e6 / _cpu_s(lambda: _read(large, folder), 1) for _ in range(ROUNDS)]
        yield result("edxml.read_mb_per_s", rates, "MB a second of CPU, a packet of 40 MB")
        building = [LARGE_BYTES / 1e6 / _cpu_s(lambda: _built(folder, content), 1) for _ in range(ROUNDS)]
        yield result("edxml.build_mb_per_s", building, "MB of attachments a second of CPU")


def _read(path: Path, folder: Path) -> Packet:
    """To a checked statement, as importing does, short of signing it."""
    packet = open_packet(path, folder)
    fields = document_fields(packet, "1", _SIGNED_MS, packet.document.promulgated or DAY)
    KINDS["document"].check(fields)
    return packet


def _built(folder: Path, content: bytes) -> Path:
    file, target = folder / "content", folder / f"{len(content)}.edxml"
    file.write_bytes(content)
    attached = [compose.attachment("tệp.bin", "application/octet-stream", len(content), sha256(content).digest())]
    fields = compose.document("G22", "1", ["H41"], "Trích yếu", signed_ms=_SIGNED_MS, issued=DAY, attachments=attached)
    build_document(target, fields, [file], lambda code: Organ(code, code))
    return target


def _cpu_s(work: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times
