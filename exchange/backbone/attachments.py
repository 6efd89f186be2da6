"""The claim check: attachments in an object store, named by their SHA-256.

Guarantees: bytes are streamed, memory doesn't grow with size; a name only ever gets the bytes that it is made of, so
writing it twice does no harm; whoever stores gets a storage receipt (a MAC over digest, size and time) that the gate
checks without any I/O. What is read is hashed again: bytes that differ are `Rejected`, never handed on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from exchange.backbone.bucket import PART_BYTES, store_of
from exchange.errors import Rejected, Unavailable
from exchange.signatures import storage

CHUNK_BYTES = 1024 * 1024
"""Read and written at a time."""


class Stored(NamedTuple):
    """A storage receipt, as the record carries it."""

    sha256: bytes
    size: int
    stored_ms: int
    mac: bytes


class Attachments:
    """An object store. `place`: a folder, or ``s3://bucket/prefix``, see `store_of`.

    `store`: what obstore's functions take, for whoever streams by itself.
    """

    def __init__(self, place: str | Path, key: bytes) -> None:
        self._key = key
        if isinstance(place, str) and "://" in place:
            self.store: Any = store_of(place)
        else:
            self.store = LocalStore(Path(place), mkdir=True)

    def put(self, path: Path, told: Callable[[int], None] = lambda _: None) -> Stored:
        """Store a file from disk; twice the same bytes are stored once. `told`: how many bytes were written.

        Raises: Unavailable ``storage.unavailable`` (disk full, network), OSError if `path` can't be read.
        """
        with path.open("rb") as source:
            digest, size = _digest(source)
        try:
            if not self._has(digest, size):
                with path.open("rb") as source:
                    self._write(digest, source, told)
        except (BaseError, OSError) as exc:  # a full disk is an OSError
            raise Unavailable("storage.unavailable", str(exc)) from exc
        return self.receipt(digest, size)

    def receipt(self, digest: bytes, size: int) -> Stored:
        """Vouch for bytes that are in the store."""
        stored_ms = int(time.time() * 1000)
        return Stored(digest, size, stored_ms, storage.seal(self._key, digest, size, stored_ms))

    def read(self, digest: bytes, size: int) -> Iterator[bytes]:
        """Stream an attachment's bytes, hashing as they pass.

        Raises: Rejected ``attachment.missing``, ``attachment.differs`` (after the last chunk at the latest: use
            a temporary file and keep it only when the stream ended well); Unavailable.
        """
        hashed, seen = sha256(), 0
        try:
            for chunk in obstore.get(self.store, object_name(digest)).stream(min_chunk_size=CHUNK_BYTES):
                data = bytes(chunk)
                seen += len(data)
                if seen > size:
                    raise Rejected("attachment.differs", f"{digest.hex()} is longer than {size} bytes")
                hashed.update(data)
                yield data
        except FileNotFoundError as exc:
            raise Rejected("attachment.missing", digest.hex()) from exc
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc
        if seen != size or hashed.digest() != digest:
            raise Rejected("attachment.differs", f"{digest.hex()}: {seen} bytes, {hashed.hexdigest()}")

    def _has(self, digest: bytes, size: int) -> bool:
        try:
            return bool(obstore.head(self.store, object_name(digest))["size"] == size)
        except FileNotFoundError:
            return False

    def _write(self, digest: bytes, source: BinaryIO, told: Callable[[int], None]) -> None:
        """Write under a draft name, check, then rename."""
        draft = f"drafts/{secrets.token_hex(16)}"
        hashed, written = sha256(), 0
        with obstore.open_writer(self.store, draft, buffer_size=PART_BYTES) as target:
            while chunk := source.read(CHUNK_BYTES):
                hashed.update(chunk)
                target.write(chunk)
                written += len(chunk)
                told(written)
        if hashed.digest() != digest:
            obstore.delete(self.store, draft)
            raise Unavailable("storage.source_changed", "the file changed while it was read; try again")
        obstore.rename(self.store, draft, object_name(digest))


def _digest(source: BinaryIO) -> tuple[bytes, int]:
    hashed, size = sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        hashed.update(chunk)
        size += len(chunk)
    return hashed.digest(), size


def object_name(digest: bytes) -> str:
    """Where an attachment lies in the store."""
    text = digest.hex()
    return f"{text[:2]}/{text[2:4]}/{text}"
