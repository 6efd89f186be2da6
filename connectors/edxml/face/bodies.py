"""Request bodies onto the disk, within bounds of size and time; memory doesn't grow with them.

A packet comes as the body itself, or as the file of a multipart form; both are written as they stream. A sender that
falls silent is let go.

Source: RFC 7578 (multipart/form-data), as Starlette and python-multipart read it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from exchange.errors import Rejected

MULTIPART = "multipart/form-data"
FRAME_BYTES = 64 * 1024
"""What a form may have besides its file."""
SILENCE_S = 20.0
FIELDS_MAX = 20
JSON_BYTES_MAX = 64 * 1024
CHUNK_BYTES = 256 * 1024


async def packet_into(request: Request, target: Path, most_bytes: int) -> dict[str, str]:
    """Write the request's packet to a file; returns the form's other fields.

    Raises: Rejected ``edxml.no_file``, ``edxml.too_large``, ``edxml.too_slow``.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most_bytes + FRAME_BYTES:
        raise Rejected("edxml.too_large", f"{declared[:20]} bytes")
    bounded = Request(request.scope, _Bounded(request, most_bytes + FRAME_BYTES).receive)
    try:
        if kind == MULTIPART:
            return await _from_form(bounded, target, most_bytes)
        size = 0
        with target.open("wb") as out:
            async for chunk in bounded.stream():
                size += len(chunk)
                out.write(chunk)
    except ClientDisconnect as exc:
        raise Rejected("edxml.no_file", "the sender left in between") from exc
    if not size:
        raise Rejected("edxml.no_file", "an empty body")
    return {}


async def _from_form(request: Request, target: Path, most_bytes: int) -> dict[str, str]:
    try:
        async with request.form(max_files=1, max_fields=FIELDS_MAX) as form:
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if len(files) != 1:
                raise Rejected("edxml.no_file", f"{len(files)} files")
            if (files[0].size or 0) > most_bytes:
                raise Rejected("edxml.too_large", f"{files[0].size} bytes")
            with target.open("wb") as out:
                while chunk := await files[0].read(CHUNK_BYTES):
                    out.write(chunk)
            return fields
    except HTTPException as exc:
        raise Rejected("edxml.no_file", str(exc.detail)[:200]) from exc


async def json_of(request: Request) -> dict[str, Any]:
    """The body's JSON object; empty if there is no body. Rejected ``edxml.request``."""
    bounded = Request(request.scope, _Bounded(request, JSON_BYTES_MAX).receive)
    try:
        body = await bounded.body()
        found = json.loads(body) if body else {}
    except (ValueError, RecursionError, ClientDisconnect) as exc:
        raise Rejected("edxml.request", repr(exc)[:100]) from exc
    if not isinstance(found, dict):
        raise Rejected("edxml.request", "not a JSON object")
    return found


class _Bounded:
    """The request's messages, counted and timed."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._receive = request.receive
        self._left = most_bytes

    async def receive(self) -> Message:
        """The next one; Rejected ``edxml.too_large``, ``edxml.too_slow``."""
        try:
            message = await asyncio.wait_for(self._receive(), SILENCE_S)
        except TimeoutError as exc:
            raise Rejected("edxml.too_slow", f"silent for {SILENCE_S:.0f} s") from exc
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise Rejected("edxml.too_large", "the body")
        return message
