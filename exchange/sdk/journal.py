"""Records on disk in order, until they are done with: append-only segments and a position.

Guarantees: what `append` returned from survives a crash of the process and of the machine (``fsync``), in order; a
half-written end is cut off at the next start. `done` may be forgotten by a crash: then records come again, which
changes nothing for the exchange. A segment goes when all of it is done. One process at a time.

| it dies … | on disk | so |
|---|---|---|
| before or while a record is written | a torn end | cut off: `append` had not returned |
| after `append` | the record | sent at the next start |
| after it was sent, before `done` | the record | sent again: recognised as the same |
| after `done` | its position | not sent again |
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from exchange.errors import InvariantBroken, Unavailable

SEGMENT_BYTES = 4 * 1024 * 1024
_FRAME = struct.Struct(">II")
_POSITION = struct.Struct(">QQI")


class Entry(NamedTuple):
    """A record and where it lies. `segment`, `end`: the place after it."""

    segment: int
    end: int
    record: bytes


class Journal:
    """The journal in a folder. Raises: Unavailable ``outbox.locked`` if another process has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = (folder / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self._lock.close()
            raise Unavailable("outbox.locked", f"another process uses {folder}") from exc
        self._waiting: deque[Entry] = deque()
        try:
            self._segment, self._size = self._recover()
        except BaseException:
            self._lock.close()
            raise
        self._out = self._open(self._segment)
        self._done = os.open(folder / "done", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._waiting))

    def append(self, records: Sequence[bytes]) -> None:
        """Write records and wait until the disk has them; OSError (disk full) leaves what was there."""
        if self._size >= SEGMENT_BYTES:
            os.close(self._out)
            self._segment, self._size = self._segment + 1, 0
            self._out = self._open(self._segment)
        start, entries, out = self._size, [], bytearray()
        for record in records:
            out += _FRAME.pack(len(record), zlib.crc32(record)) + record
            entries.append(Entry(self._segment, start + len(out), record))
        try:
            _write(self._out, out)
        except OSError:
            os.ftruncate(self._out, start)
            raise
        self._size += len(out)
        self._waiting += entries

    def first(self, count: int, most_bytes: int) -> list[Entry]:
        """The oldest records not done, at most so many and, after the first, so large."""
        found: list[Entry] = []
        size = 0
        for entry in self._waiting:
            size += len(entry.record)
            if found and (len(found) >= count or size > most_bytes):
                break
            found.append(entry)
        return found

    def last(self, count: int) -> list[Entry]:
        """The newest records, in their order."""
        return [self._waiting[index] for index in range(len(self._waiting) - count, len(self._waiting))]

    def done(self, last: Entry) -> None:
        """Everything up to `last` is dealt with."""
        body = _POSITION.pack(last.segment, last.end, zlib.crc32(struct.pack(">QQ", last.segment, last.end)))
        _write(self._done, body)
        while self._waiting and (self._waiting[0].segment, self._waiting[0].end) <= (last.segment, last.end):
            self._waiting.popleft()
        self._forget(last.segment)

    def close(self) -> None:
        """Let another process have it; idempotent."""
        if not self._lock.closed:
            os.close(self._out)
            os.close(self._done)
            self._lock.close()

    def _forget(self, segment: int) -> None:
        """Remove segments before `segment`; begin the list of positions anew when nothing waits."""
        for path in self._segments():
            if int(path.stem) < segment:
                path.unlink()
        if not self._waiting and self._size >= SEGMENT_BYTES:
            os.close(self._out)
            old = self._path(self._segment)
            self._segment, self._size = self._segment + 1, 0
            self._out = self._open(self._segment)
            old.unlink()
            os.ftruncate(self._done, 0)

    def _recover(self) -> tuple[int, int]:
        done = self._position()
        paths = self._segments()
        number, size = done[0] or 1, 0
        for path in paths:
            number, data = int(path.stem), path.read_bytes()
            size = 0
            for end, record in _frames(data):
                size = end
                if (number, end) > done:
                    self._waiting.append(Entry(number, end, record))
            if size < len(data):
                if path != paths[-1]:
                    raise InvariantBroken(f"{path} is damaged at byte {size}")
                os.truncate(path, size)
        return number, size

    def _position(self) -> tuple[int, int]:
        path = self._folder / "done"
        data = path.read_bytes() if path.is_file() else b""
        whole = len(data) // _POSITION.size * _POSITION.size
        if whole < len(data):
            os.truncate(path, whole)
        for start in range(whole - _POSITION.size, -1, -_POSITION.size):
            segment, end, crc = _POSITION.unpack_from(data, start)
            if crc == zlib.crc32(struct.pack(">QQ", segment, end)):
                return segment, end
        return 0, 0

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.segment"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}.segment"

    def _open(self, number: int) -> int:
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        sync_folder(self._folder)
        return descriptor


def sync_folder(folder: Path) -> None:
    """Let the disk have the folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, body: bytes | bytearray) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole records of a segment, with the place after each; stops at the first that isn't whole."""
    start = 0
    while start + _FRAME.size <= len(data):
        length, crc = _FRAME.unpack_from(data, start)
        end = start + _FRAME.size + length
        record = data[start + _FRAME.size : end]
        if end > len(data) or zlib.crc32(record) != crc:
            return
        yield end, record
        start = end
