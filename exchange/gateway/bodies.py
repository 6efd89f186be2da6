"""Reading request bodies within bounds of size and time, and the records in them.

Guarantees: a body is never held beyond its limit; a sender that falls silent, or drips, is let go. A body of
``application/avro`` holds one or more records one after another, each in Avro's single-object encoding, which ends by
itself; ``application/json`` a list of the same in base64, or of objects with a statement, its signatures and the
storage receipts of its attachments, from which a record is made: nothing of what was signed changes by that.

Source: Avro 1.12, "Single-object encoding"; RFC 9110 §8.3, §8.6; RFC 4648 §4.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused
from exchange.signatures import encode_record
from exchange.statements import schema
from exchange.statements.codec import PREFIX_BYTES
from exchange.statements.compiled import DAMAGED

AVRO, JSON, FORM = "application/avro", "application/json", "application/x-www-form-urlencoded"
ALGORITHMS = frozenset({"ecdsa_p256_sha256", "rsa_pkcs1_sha256", "rsa_pss_sha256", "ed25519", "cms"})
"""That a signature may name, as in ``schemas/record``."""

MAC_BYTES = 32
_HEX = re.compile("[0-9a-f]{64}")
_RECORD = schema("record")


def media_type(request: Request) -> str:
    """The media type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def chunks(request: Request, most_bytes: int, limits: Limits) -> AsyncIterator[bytes]:
    """The body in pieces.

    Raises: Refused ``request.too_large`` (also by what Content-Length says), ``request.too_slow``,
        ``request.malformed`` when the sender left in between.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most_bytes:
        raise Refused("request.too_large", declared[:20])
    size, stream, began = 0, request.stream().__aiter__(), time.monotonic()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), limits.body_chunk_s)
        except StopAsyncIteration:
            return
        except TimeoutError as exc:
            raise Refused("request.too_slow", f"{size} bytes so far") from exc
        except ClientDisconnect as exc:
            raise Refused("request.malformed", "left in between") from exc
        size += len(chunk)
        if size > most_bytes:
            raise Refused("request.too_large", f"> {most_bytes}")
        took_s = time.monotonic() - began
        if took_s > limits.body_chunk_s and size < took_s * limits.body_bytes_per_s_min:
            raise Refused("request.too_slow", f"{size} bytes in {took_s:.0f} s")
        if chunk:
            yield chunk


async def whole(request: Request, most_bytes: int, limits: Limits) -> bytes:
    """The whole body; raises as `chunks`."""
    return b"".join([chunk async for chunk in chunks(request, most_bytes, limits)])


def records_in(body: bytes, kind: str, most: int) -> list[bytes]:
    """The records of a body, whatever is in them; nothing is verified here.

    Raises: Refused ``request.media_type``, ``request.malformed``, ``request.empty``, ``request.too_many_records``.
    """
    if kind == AVRO:
        found = _split(body, most)
    elif kind == JSON:
        found = _from_json(body, most)
    else:
        raise Refused("request.media_type", kind[:60])
    if not found:
        raise Refused("request.empty")
    return found


def _split(body: bytes, most: int) -> list[bytes]:
    found, start = list[bytes](), 0
    while start < len(body):
        if len(found) >= most:
            raise Refused("request.too_many_records", f"> {most}")
        if body[start : start + PREFIX_BYTES] != _RECORD.prefix:
            raise Refused("request.malformed", f"no record at byte {start}")
        try:
            _, end = _RECORD.codec.read(body, start + PREFIX_BYTES)
        except DAMAGED as exc:
            raise Refused("request.malformed", f"record at byte {start}: {exc!r}"[:200]) from exc
        if end > len(body):
            raise Refused("request.malformed", f"record at byte {start} is cut")
        found.append(body[start:end])
        start = end
    return found


def _from_json(body: bytes, most: int) -> list[bytes]:
    try:
        listed = json.loads(body)
        if not isinstance(listed, list) or not all(isinstance(one, str | dict) for one in listed):
            raise Refused("request.malformed", "not a list of strings or objects")
        if len(listed) > most:
            raise Refused("request.too_many_records", f"{len(listed)} > {most}")
        return [_bytes(one) if isinstance(one, str) else _joined(one) for one in listed]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Refused("request.malformed", repr(exc)[:200]) from exc


def _joined(told: dict[str, Any]) -> bytes:
    """A record of its parts; KeyError, TypeError, ValueError if they aren't that; Rejected if it is too large."""
    signatures = [
        {
            "algorithm": _one_of(ALGORITHMS, one["algorithm"]),
            "certificate": _digest(one["certificate"]),
            "value": _bytes(one["value"]),
            "batch": None,
        }
        for one in _list(told["signatures"])
    ]
    storage = [
        {
            "sha256": _digest(one["sha256"]),
            "size": _whole(one["size"]),
            "stored_ms": _whole(one["stored_ms"]),
            "mac": _bytes(one["mac"], MAC_BYTES),
        }
        for one in _list(told.get("storage", []))
    ]
    return encode_record(_bytes(told["statement"]), signatures, storage)


def _bytes(value: object, length: int | None = None) -> bytes:
    if not isinstance(value, str):
        raise TypeError("no base64")
    found = base64.b64decode(value, validate=True)
    if length is not None and len(found) != length:
        raise ValueError(f"{len(found)} bytes, not {length}")
    return found


def _digest(value: object) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("not a SHA-256 in lower-case hex")
    return bytes.fromhex(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("no whole number of 63 bits")
    return value


def _one_of(known: frozenset[str], value: object) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError("unknown")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value
