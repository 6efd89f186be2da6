"""The ledger's files: written once or replaced as a whole, and on the disk before anybody is told.

Guarantees: a file has its name only with all its bytes; what was written is durable once `sync` returns. Private to
their owner (0700, 0600): tiles are hashes of salted hashes, but the salts lie here as well. A crash may leave drafts,
which nobody reads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.errors import Unavailable

_DRAFT = ".draft"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable("ledger.disk", str(exc)) from exc


class Folder:
    """A folder of the ledger. For one thread. Raises, from every method: Unavailable ``ledger.disk``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._touched: set[Path] = set()
        self._made: set[Path] = set()

    def write(self, path: str, data: bytes) -> None:
        """Put a file whose bytes follow from its name; the same again changes nothing. Durable after `sync`."""
        with _translated():
            place = self.folder / path
            if not place.is_file() or place.read_bytes() != data:
                self._put(place, data)

    def replace(self, path: str, data: bytes) -> None:
        """Put a file in place of its earlier self, durably."""
        with _translated():
            self._put(self.folder / path, data)
        self.sync()

    def sync(self) -> None:
        """Make the names of all files written since the last time durable."""
        with _translated():
            for folder in self._touched:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._touched.clear()

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None if there is none."""
        with _translated():
            try:
                return (self.folder / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def remove(self, path: str) -> None:
        """Take a file away, or a folder of files; idempotent."""
        with _translated():
            place = self.folder / path
            if place.is_dir():
                for file in place.iterdir():
                    file.unlink(missing_ok=True)
                place.rmdir()
                self._made.discard(place)
            else:
                place.unlink(missing_ok=True)

    def names(self, path: str) -> list[str]:
        """The files right in a folder, drafts excepted; none if there is no such folder."""
        with _translated():
            place = self.folder / path
            return sorted(file.name for file in place.iterdir() if file.suffix != _DRAFT) if place.is_dir() else []

    def age_s(self, path: str) -> float:
        """For how long a file has been there, by this machine's clock; 0 if it isn't."""
        with _translated():
            try:
                return time.time() - (self.folder / path).stat().st_mtime
            except FileNotFoundError:
                return 0.0

    def _put(self, place: Path, data: bytes) -> None:
        self._make(place.parent)
        draft = place.with_name(place.name + _DRAFT)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as stream:
                stream.write(data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(place)
        self._touched.add(place.parent)

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it; a new name in a folder is made durable with the files."""
        if folder in self._made:
            return
        if not folder.is_dir():
            if folder != self.folder:
                self._make(folder.parent)
                folder.mkdir(mode=0o700, exist_ok=True)
            else:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._touched.add(folder.parent)
        self._made.add(folder)
