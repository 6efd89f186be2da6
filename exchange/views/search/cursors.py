"""Cursors: where a page of a search ended, opaque to whoever carries it.

Guarantees: a cursor goes on with the search that it is of, counted to the same moment; one of another search, a
damaged or an invented one is refused. It grants nothing: it only says where to go on, and may be shown to anyone.
"""

from __future__ import annotations

import base64
import binascii
import json
from hashlib import sha256
from typing import NamedTuple

from exchange.errors import Rejected
from exchange.views.search.query import Query

CURSOR_CHARACTERS_MAX = 300
_CHECK_BYTES = 12
_MOST = (2**62, 2**63, 2**63, 2**31)


class Key(NamedTuple):
    """What the results are sorted by, newest first: append time, then the coordinates of the submission."""

    append_ms: int
    source_topic: str
    partition: int
    source_offset: int


def encode(query: Query, as_of_ms: int, last: Key) -> str:
    """The cursor after `last`."""
    place = json.dumps([as_of_ms, *last], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(query, place) + place).decode("ascii")


def decode(query: Query, cursor: str) -> tuple[int, Key]:
    """The moment that the search is of, and after which key it goes on. Raises: Rejected ``cursor.invalid``."""
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError(f"{len(cursor)} characters")
        data = base64.b64decode(cursor, altchars=b"-_", validate=True)
        check, place = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
        if check != _check(query, place):
            raise ValueError("of another search, or damaged")
        as_of_ms, append_ms, topic, partition, offset = json.loads(place)
        numbers = [int(number) for number in (as_of_ms, append_ms, offset, partition)]
        if not topic.isprintable() or any(abs(number) >= most for number, most in zip(numbers, _MOST, strict=True)):
            raise ValueError("of no search")
        return numbers[0], Key(numbers[1], topic, numbers[3], numbers[2])
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        raise Rejected("cursor.invalid", f"{exc}"[:100]) from exc


def _check(query: Query, place: bytes) -> bytes:
    return sha256(b"exchange search 1\0" + query.spelled().encode() + b"\0" + place).digest()[:_CHECK_BYTES]
