"""Resumable uploads: an attachment in several requests, going on where the last one was broken off.

An upload is its agency's and bears the attachment's SHA-256, so nobody has to remember a name for it. Its bytes lie in
the object store as pieces named by where they begin; the offset to go on from is where they end without a gap. When
all are there they are read once more, hashed, and become the attachment.

Guarantees: any gateway, started at any time, goes on with an upload; of what was sent before a gateway was killed at
most `PIECE_BYTES` are sent again. Memory doesn't grow with size, and hardly with the number of uploads: when much is
held, pieces get smaller. Other bytes than the SHA-256 says never get its name. Two who send at once to one upload spoil
it at worst: then it begins again. What nobody went on with for a day is let go.

Source: draft-ietf-httpbis-resumable-upload-09, §4: Upload-Offset, Upload-Complete, Upload-Limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import obstore
import structlog
from obstore.exceptions import BaseError

from exchange.backbone.attachments import CHUNK_BYTES, Stored
from exchange.errors import Unavailable
from exchange.gateway.files import Files
from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused

PIECE_BYTES, PIECE_BYTES_MIN = 4 * CHUNK_BYTES, CHUNK_BYTES // 4
HELD_BYTES = 128 * CHUNK_BYTES
"""Of all uploads together; beyond it pieces are written as soon as they have `PIECE_BYTES_MIN`."""

FOLDER = "uploads"
UNFINISHED_S = 86_400.0
SWEEP_S = 3_600.0
_DIGITS = 16

log = structlog.get_logger(__name__)


class Piece(NamedTuple):
    """Some of an upload's bytes in the store."""

    path: str
    start: int
    size: int


class Uploads:
    """The uploads that are under way, of all agencies."""

    def __init__(self, files: Files, limits: Limits) -> None:
        self._files = files
        self._store: Any = files.store
        self._limits = limits
        self._held_bytes = 0

    async def offset(self, agency: str, digest: bytes) -> int:
        """How many bytes of an upload are here; 0 if there is none. Raises: Unavailable."""
        pieces = await self._pieces(agency, digest)
        return pieces[-1].start + pieces[-1].size if pieces else 0

    async def append(self, agency: str, digest: bytes, offset: int, body: AsyncIterator[bytes]) -> int:
        """Add to an upload; returns where it ends now. What had come before `body` failed is kept.

        Raises: Refused ``upload.offset``, ``upload.too_many``, ``request.too_large``, and what `body` raises;
            Unavailable.
        """
        here = await self.offset(agency, digest)
        if offset != here:
            raise Refused("upload.offset", f"{offset}, not {here}", offset=here)
        if offset == 0:
            await self._require_room(agency, digest)
        held, size = list[bytes](), 0
        try:
            async for chunk in body:
                if offset + size + len(chunk) > self._limits.attachment_bytes:
                    raise Refused("request.too_large", f"> {self._limits.attachment_bytes}")
                held.append(chunk)
                size += len(chunk)
                self._held_bytes += len(chunk)
                if size >= (PIECE_BYTES if self._held_bytes < HELD_BYTES else PIECE_BYTES_MIN):
                    await self._put(agency, digest, offset, held)
                    self._held_bytes -= size
                    offset, held, size = offset + size, [], 0
        finally:
            self._held_bytes -= size
            if size:
                await asyncio.shield(self._put(agency, digest, offset, held))
        return offset + size

    async def complete(self, agency: str, digest: bytes) -> tuple[Stored, bool]:
        """Make the attachment of what came; returns its storage receipt and whether it was new.

        Raises: Refused ``attachment.differs``: the upload is let go; Unavailable.
        """
        pieces = await self._pieces(agency, digest)
        try:
            stored = await self._files.put(digest, self._read(pieces))
        except Refused:
            await self.let_go(agency, digest)
            raise
        await self.let_go(agency, digest)
        return stored

    async def let_go(self, agency: str, digest: bytes) -> None:
        """Forget an upload. Raises: Unavailable."""
        await self._delete([piece.path for piece in await self._all(_folder(agency, digest))])

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as exc:
                log.warning("gateway.uploads_not_swept", detail=exc.detail[:200])
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Let go what nobody went on with. Raises: Unavailable."""
        await self._delete(await self._old())

    async def _pieces(self, agency: str, digest: bytes) -> list[Piece]:
        """Those that lie one after another from the first byte on."""
        found, end = list[Piece](), 0
        for piece in await self._all(_folder(agency, digest)):
            if piece.start == end and piece.size:
                found.append(piece)
                end += piece.size
        return found

    async def _all(self, folder: str) -> list[Piece]:
        found = list[Piece]()
        try:
            async for page in obstore.list(self._store, folder):
                for one in page:
                    name = one["path"].rpartition("/")[2]
                    if len(name) == _DIGITS and name.isdigit():
                        found.append(Piece(one["path"], int(name), one["size"]))
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc
        return sorted(found, key=lambda piece: piece.start)

    async def _require_room(self, agency: str, digest: bytes) -> None:
        under_way = {piece.path.split("/")[2] for piece in await self._all(f"{FOLDER}/{agency}")} - {digest.hex()}
        if len(under_way) >= self._limits.unfinished:
            raise Refused("upload.too_many", f"{len(under_way)}")

    async def _put(self, agency: str, digest: bytes, start: int, held: list[bytes]) -> None:
        path = f"{_folder(agency, digest)}/{start:0{_DIGITS}d}"
        try:
            await obstore.put_async(self._store, path, b"".join(held), use_multipart=False)
        except (BaseError, OSError) as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    async def _read(self, pieces: list[Piece]) -> AsyncGenerator[bytes, None]:
        try:
            for piece in pieces:
                found = await obstore.get_async(self._store, piece.path)
                async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    yield bytes(chunk)
        except (FileNotFoundError, BaseError) as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    async def _old(self) -> list[str]:
        """Paths of pieces that were written long ago."""
        now, found = datetime.fromtimestamp(time.time(), UTC), list[str]()
        try:
            async for page in obstore.list(self._store, FOLDER):
                found += [one["path"] for one in page if (now - one["last_modified"]).total_seconds() > UNFINISHED_S]
        except BaseError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc
        return found

    async def _delete(self, paths: list[str]) -> None:
        for path in paths:
            try:
                with suppress(FileNotFoundError):  # another gateway was faster
                    await obstore.delete_async(self._store, path)
            except BaseError as exc:
                raise Unavailable("storage.unavailable", str(exc)) from exc


def _folder(agency: str, digest: bytes) -> str:
    return f"{FOLDER}/{agency}/{digest.hex()}"
