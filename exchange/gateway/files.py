"""Attachments over the network: streamed into and out of the object store, asynchronously.

Guarantees: memory doesn't grow with size; bytes get their name only once they have its SHA-256; what is sent out is
hashed as it passes, and a connection is broken off rather than ended well if the bytes differ. An upload that is broken
off leaves nothing under a name.

Who knows an attachment's SHA-256 may fetch it: only the sender, the recipients and what they showed it to know it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import obstore
from obstore.exceptions import BaseError

from exchange.backbone.attachments import CHUNK_BYTES, Attachments, Stored, is_fresh, object_name
from exchange.backbone.bucket import PART_BYTES
from exchange.errors import InvariantBroken, Unavailable
from exchange.gateway.problems import Refused

WRITES_AT_A_TIME = 2


class Files:
    """The object store for the gateway."""

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments
        self.store: Any = attachments.store

    async def size(self, digest: bytes) -> int | None:
        """How many bytes are stored under a digest; None if there is no such attachment."""
        try:
            return int((await obstore.head_async(self.store, object_name(digest)))["size"])
        except FileNotFoundError:
            return None
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    async def _is_fresh(self, digest: bytes) -> bool:
        try:
            return is_fresh((await obstore.head_async(self.store, object_name(digest)))["last_modified"])
        except FileNotFoundError:
            return False
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    async def put(self, digest: bytes, body: AsyncIterator[bytes]) -> tuple[Stored, bool]:
        """Store a body under its digest; returns the storage receipt and whether it was new.

        The same bytes again are read to their end, for who gets a receipt must have them, but not written.
        Cancelled: nothing is kept. Raises: Refused ``attachment.differs``, and what `body` raises; Unavailable.
        """
        if await self._is_fresh(digest):
            return self._attachments.receipt(digest, await _measure(digest, body)), False
        draft = f"drafts/{secrets.token_hex(16)}"
        try:
            size = await self._write(draft, digest, body)
            await obstore.rename_async(self.store, draft, object_name(digest))
        except BaseError as exc:
            await self._discard(draft)
            raise Unavailable("storage.unavailable", str(exc)) from exc
        except BaseException:
            await asyncio.shield(self._discard(draft))
            raise
        return self._attachments.receipt(digest, size), True

    async def read(self, digest: bytes, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from `start` on; hashed when they are all asked for.

        Raises: InvariantBroken if the stored bytes differ: the reader must not end the answer well.
        """
        hashed = sha256()
        options: Any = {"range": {"offset": start}} if start else {}
        try:
            found = await obstore.get_async(self.store, object_name(digest), options=options)
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                piece = bytes(chunk)
                hashed.update(piece)
                yield piece
        except (FileNotFoundError, BaseError) as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc
        if not start and hashed.digest() != digest:
            raise InvariantBroken(f"the attachment {digest.hex()} has other bytes in the store")

    async def _write(self, draft: str, digest: bytes, body: AsyncIterator[bytes]) -> int:
        writer = obstore.open_writer_async(self.store, draft, buffer_size=PART_BYTES, max_concurrency=WRITES_AT_A_TIME)
        hashed, size = sha256(), 0
        async with writer as target:
            async for chunk in body:
                hashed.update(chunk)
                size += len(chunk)
                await target.write(chunk)
        _require(hashed.digest(), digest, size)
        return size

    async def _discard(self, draft: str) -> None:
        try:
            await obstore.delete_async(self.store, draft)
        except (FileNotFoundError, BaseError):
            return  # a draft has a random name and harms nobody


async def _measure(digest: bytes, body: AsyncIterator[bytes]) -> int:
    hashed, size = sha256(), 0
    async for chunk in body:
        hashed.update(chunk)
        size += len(chunk)
    _require(hashed.digest(), digest, size)
    return size


def _require(found: bytes, wanted: bytes, size: int) -> None:
    if found != wanted:
        raise Refused("attachment.differs", f"{size} bytes have {found.hex()}, not {wanted.hex()}")
