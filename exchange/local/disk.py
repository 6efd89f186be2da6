"""How much room is left on the disk under a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

DISK_FULL_BYTES = 32 * 1024 * 1024
"""A broker that starts wants more: each segment of a log begins with two indexes of 10 MB."""


def disk_free_bytes(folder: Path) -> int:
    """Bytes that are left where an existing `folder` is."""
    return shutil.disk_usage(folder).free
