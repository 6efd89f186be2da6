"""Files that are whole or not there, also after a crash of the machine.

Guarantees: what `write` and `move` returned for is on the disk under its name; cut off in between, the old name stands,
or the new one, never a part. Both names must lie on one file system.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, content: bytes) -> None:
    """Put a file there, in place of an earlier one; a draft beside it may be left by a crash."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    move(draft, path)


def write_json(path: Path, value: object) -> None:
    """The same, with one JSON document."""
    write(path, to_json(value))


def to_json(value: object) -> bytes:
    """One JSON document, for people too; a name that isn't UTF-8 comes back as it was."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")


def read_json(path: Path) -> Any:  # noqa: ANN401  JSON
    """What `write_json` wrote."""
    return json.loads(path.read_text("utf-8"))


def move(source: Path, target: Path) -> None:
    """Let a file or folder have another name; a symbolic link is moved itself, never followed."""
    os.rename(source, target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def sync(folder: Path) -> None:
    """Let the disk have the folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private(*folders: Path) -> None:
    """Make folders that nobody else may look into, where they are missing."""
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
