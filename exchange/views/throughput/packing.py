"""Deltas on their way through Faust: those of one fetch and partition as one record, which costs Faust what one costs.

Guarantees: what is unpacked is what was packed, each delta with its own offset and append time. A packed record has
the offset of its last delta, so that whoever acknowledges it acknowledges all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from exchange.errors import InvariantBroken
from exchange.statements import Fields, identify

_HEAD = Struct("<QQI")


class Packed(NamedTuple):
    """One record of the deltas' topic. `append_ms`: the broker's clock."""

    offset: int
    append_ms: int
    value: bytes


def pack(records: Sequence[Packed]) -> bytes:
    """Records as one value."""
    return b"".join([_HEAD.pack(offset, append_ms, len(value)) + value for offset, append_ms, value in records])


def unpack(value: bytes) -> Iterator[Packed]:
    """The records in a value, in order."""
    at = 0
    while at < len(value):
        offset, append_ms, length = _HEAD.unpack_from(value, at)
        at += _HEAD.size
        yield Packed(offset, append_ms, value[at : at + length])
        at += length


def delta_of(value: bytes, append_ms: int) -> Fields:
    """A delta of any version, with when it was appended; of the first version, which has no minutes, they are none.

    Raises: InvariantBroken if it is something else.
    """
    known = identify(value)
    if known.name != "delta":
        raise InvariantBroken(f"a {known.name} among the deltas")
    return {"minutes": [], **known.decode(value), "append_ms": append_ms}
