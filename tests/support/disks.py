"""Very small disks for fault tests: a mounted memory file system that can be filled and emptied again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from exchange.local.waiting import wait_until

UNMOUNT_S = 20.0
STEP_BYTES = 16 * 1024 * 1024


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a disk of that size on a folder. Skips the test where mounting is impossible, which needs root."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode != 0:
        pytest.skip(f"can't mount a small disk here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        # A process that was just killed lets go of its files a moment after it is gone from the list.
        assert wait_until(lambda: subprocess.run(["umount", str(place)], check=False).returncode == 0, UNMOUNT_S)


def fill(place: Path, left_bytes: int) -> Path:
    """Fill the disk but for that much; delete the returned file to make room again."""
    ballast = place / "ballast"
    with ballast.open("wb") as stream, suppress(OSError):  # whoever else writes may have been faster in the end
        while (room := shutil.disk_usage(place).free - left_bytes) > 0:
            os.posix_fallocate(stream.fileno(), stream.seek(0, os.SEEK_END), min(room, STEP_BYTES))
    return ballast
