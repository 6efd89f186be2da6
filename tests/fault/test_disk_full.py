"""A full disk under the claim-check store: storing is refused as Unavailable, nothing half-written is found, and with
room again everything works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.backbone.attachments import Attachments
from exchange.errors import Unavailable
from tests.support.disks import small_disk

pytestmark = pytest.mark.fault

DISK_BYTES = 12 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A very small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, DISK_BYTES):
        yield place


def a_file(folder: Path, size: int) -> tuple[Path, bytes]:
    """A file of random bytes, and its SHA-256."""
    data = os.urandom(size)
    path = folder / f"{size}.bin"
    path.write_bytes(data)
    return path, sha256(data).digest()


def files_of(disk: Path) -> list[Path]:
    """All files on the disk."""
    return [path for path in disk.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [3_000_000, 20_000_000], ids=["in one piece", "in several"])
def test_storing_on_a_full_disk_is_refused_and_leaves_nothing(disk: Path, tmp_path: Path, size: int) -> None:
    store = Attachments(disk / "attachments", b"k" * 32)
    kept, kept_digest = a_file(tmp_path, 1_000_000)
    store.put(kept)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(DISK_BYTES - 3_500_000))
    path, digest = a_file(tmp_path, size)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"storage\.unavailable"):
            store.put(path)
    assert [one.name for one in files_of(disk / "attachments")] == [kept_digest.hex()]
    ballast.unlink()
    if size < DISK_BYTES:
        stored = store.put(path)
        assert b"".join(store.read(stored.sha256, stored.size)) == path.read_bytes()
        assert stored.sha256 == digest
    assert b"".join(store.read(kept_digest, 1_000_000)) == kept.read_bytes()
