"""Objects as files: written once or replaced as a whole, and on the disk before anybody is told.

Guarantees: see `objects`; a file has its name only with all its bytes. Private to their owner (0700, 0600): tiles are
hashes of salted hashes, but the ledger's salts lie in such a folder as well. A crash may leave drafts, which nobody
reads.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.errors import Unavailable

CHUNK_BYTES = 1024 * 1024
_DRAFT = ".draft"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable("storage.unavailable", str(exc)) from exc


class Folder:
    """`Objects` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._touched: set[Path] = set()
        self._made: set[Path] = set()

    def write(self, path: str, data: bytes) -> None:
        """See `Objects`."""
        with _translated():
            place = self.folder / path
            if not place.is_file() or place.read_bytes() != data:
                self._put(place, data)

    def replace(self, path: str, data: bytes) -> None:
        """See `Objects`."""
        with _translated():
            self._put(self.folder / path, data)
        self.sync()

    def create(self, path: str, data: bytes) -> bool:
        """See `Objects`. A link refuses a name that is taken, whoever took it."""
        with _translated():
            place = self.folder / path
            draft = self._draft(place, [data])
            try:
                os.link(draft, place)
            except FileExistsError:
                return False
            finally:
                draft.unlink()
        self.sync()
        return True

    def send(self, path: str, chunks: Iterable[bytes]) -> None:
        """See `Objects`."""
        place = self.folder / path
        with _translated():
            draft = self._draft(place, chunks)
            draft.replace(place)
        self.sync()

    def fetch(self, path: str) -> Iterator[bytes] | None:
        """See `Objects`."""
        with _translated():
            try:
                stream = (self.folder / path).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

        def chunks() -> Iterator[bytes]:
            with _translated(), stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk

        return chunks()

    def sync(self) -> None:
        """See `Objects`: the names of all files written since the last time."""
        with _translated():
            for folder in self._touched:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._touched.clear()

    def read(self, path: str) -> bytes | None:
        """See `Objects`."""
        with _translated():
            try:
                return (self.folder / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def remove(self, path: str) -> None:
        """See `Objects`."""
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
        """See `Objects`; drafts are no objects."""
        with _translated():
            try:
                with os.scandir(self.folder / path) as found:
                    return sorted(one.name for one in found if one.is_file() and not one.name.endswith(_DRAFT))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def walk(self, path: str) -> Iterator[str]:
        """See `Objects`."""
        with _translated():
            start = self.folder / path
            for folder, folders, files in os.walk(start):
                folders.sort()
                for name in sorted(files):
                    if not name.endswith(_DRAFT):
                        yield (Path(folder) / name).relative_to(self.folder).as_posix()

    def age_s(self, path: str) -> float:
        """See `Objects`."""
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

    def _draft(self, place: Path, chunks: Iterable[bytes]) -> Path:
        """Write all bytes under a name of their own, durably; it is taken away if that fails."""
        self._make(place.parent)
        draft = place.with_name(f"{secrets.token_hex(8)}{_DRAFT}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                os.fsync(descriptor)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        self._touched.add(place.parent)
        return draft

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
