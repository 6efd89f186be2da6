"""Hostile archives: bombs, traversal, a million entries, recursion, wrong sizes; only one spelling is taken."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from exchange.errors import InvariantBroken, Rejected
from exchange.ledger.evidence.archive import FILE_BYTES_MAX, PARTS_MAX, pack, unpack

PARTS = {"a.txt": b"one", "b/c.txt": b"", "d": bytes(1000)}


def zipped(method: int, parts: dict[str, bytes], comment: bytes = b"") -> bytes:
    """A zip by the standard library."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        unpack(data)
    return caught.value.code


def test_round_trip_and_any_tool_reads_it() -> None:
    data = pack(PARTS)
    assert unpack(data) == PARTS
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == PARTS


def test_a_bomb_does_not_go_off() -> None:
    bomb = zipped(zipfile.ZIP_DEFLATED, {"manifest.json": bytes(64 * 1024 * 1024)})
    assert len(bomb) < 100_000
    assert refused(bomb) == "evidence.not_canonical"
    assert refused(zipped(zipfile.ZIP_STORED, {"inner.zip": bomb})) == "evidence.not_canonical"


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a\\..\\b", "é", "x" * 65, "CON"])
def test_names_lead_nowhere(name: str) -> None:
    """What isn't listed by the manifest is refused later; here only what no archive of ours can be."""
    assert refused(zipped(zipfile.ZIP_STORED, {name: b"x"})) == "evidence.not_canonical"


def test_a_million_entries() -> None:
    entry = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0)
    assert refused(b"".join(entry + b"a" for _ in range(2))) == "evidence.not_canonical"
    many = b"".join(entry + chr(40 + n).encode() for n in range(80)) * 12_500
    assert refused(many) == "evidence.too_large"
    with pytest.raises(InvariantBroken):
        pack({str(n): b"" for n in range(PARTS_MAX + 1)})


def test_a_central_directory_that_lies() -> None:
    data = pack(PARTS)
    count = data.rfind(b"PK\x05\x06") + 8
    assert refused(data[:count] + b"\xff\xff" + data[count + 2 :]) == "evidence.not_canonical"


@pytest.mark.parametrize("size", [0, 1, 999, 1_001, 0xFFFFFFFF])
def test_wrong_sizes(size: int) -> None:
    data = bytearray(pack(PARTS))
    at = data.rfind(b"PK\x03\x04") + 18
    struct.pack_into("<LL", data, at, size, size)
    assert refused(bytes(data)) == "evidence.not_canonical"


def test_what_is_added_or_cut() -> None:
    data = pack(PARTS)
    for wrong in (data + b"x", data[:-1], data[:40], data + data, b"PK\x03\x04"):
        assert refused(wrong) == "evidence.not_canonical"
    assert refused(b"x" + data) == refused(b"") == "evidence.not_an_archive"
    assert refused(zipped(zipfile.ZIP_STORED, PARTS, comment=b"hello")) == "evidence.not_canonical"


def test_a_file_beyond_the_limit_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILE_BYTES_MAX == 256 * 1024 * 1024
    monkeypatch.setattr("exchange.ledger.evidence.archive.FILE_BYTES_MAX", 100)
    assert refused(pack({"a": b"1"}) + bytes(100)) == "evidence.too_large"
