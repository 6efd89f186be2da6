"""The claim check: attachments in an object store, named by their SHA-256.

Guarantees: bytes are streamed, memory doesn't grow with size; a name only ever gets the bytes that it is made of, so
writing it twice does no harm; whoever stores gets a storage receipt (a MAC over digest, size and time) that the gate
checks without any I/O. What is read is hashed again: bytes that differ are `Rejected`, never handed on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
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

FRESH_S = 86_400.0
"""Bytes that have lain longer are written again before a receipt is given for them: so bytes that a receipt of
`RECEIPT_MS_MAX` may vouch for are younger than both together, and older ones may be let go."""


_DIGITS = 2 * sha256().digest_size


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
        """Store a file from disk; the same bytes are stored once, but anew if they have lain for a day.

        `told`: how many bytes were written.

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

    def stored(self) -> Iterator[tuple[bytes, int]]:
        """Every attachment, and when its bytes were last written, by the store's clock. Raises: Unavailable."""
        try:
            for page in obstore.list(self.store):
                for one in page:
                    name = one["path"].rpartition("/")[2]
                    if len(name) == _DIGITS:
                        yield bytes.fromhex(name), int(one["last_modified"].timestamp() * 1000)
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    def let_go(self, digest: bytes) -> None:
        """Take an attachment away, for good. Raises: Unavailable."""
        try:
            obstore.delete(self.store, object_name(digest))
        except FileNotFoundError:
            return
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    def _has(self, digest: bytes, size: int) -> bool:
        try:
            found = obstore.head(self.store, object_name(digest))
            return bool(found["size"] == size and is_fresh(found["last_modified"]))
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


def is_fresh(stored: datetime) -> bool:
    """Whether a receipt may be given for what was stored then."""
    return (datetime.now(UTC) - stored).total_seconds() < FRESH_S


def object_name(digest: bytes) -> str:
    """Where an attachment lies in the store."""
    text = digest.hex()
    return f"{text[:2]}/{text[2:4]}/{text}"
