"""The leaves that a trace record must have given: each event's own bytes behind its coordinates.

Guarantees: by the codec alone. What a leaf is about is read only when somebody asks, which costs most of it.

Source: docs of ``schemas/ledger_leaf``; Avro 1.12, "Binary encoding" (numbers).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.errors import Rejected
from exchange.statements import identify, schema


class Leaf(NamedTuple):
    """One event. `data`: the leaf's bytes; `record`: of the trace, whose `event`-th event it is."""

    data: bytes
    record: bytes
    event: int

    def about(self) -> tuple[Coordinates, str]:
        """The submission that it is about, and the id of its statement."""
        fields = identify(self.record).decode(self.record)
        event = fields["events"][self.event]
        return Coordinates(fields["topic"], fields["partition"], event["offset"]), event["id"]


def leaves_of(partition: int, offset: int, value: bytes) -> list[Leaf]:
    """The leaves of a trace record, in order; Rejected if it isn't one."""
    trace = identify(value)
    if trace.name != "trace":
        raise Rejected("record.wrong_schema", trace.name)
    head, events = trace.cut(value)
    place = schema("ledger_leaf", trace.version).prefix + _long(partition) + _long(offset)
    return [Leaf(place + _long(index) + head + event, value, index) for index, event in enumerate(events)]


@lru_cache(maxsize=1 << 14)  # the places within a record come again and again
def _long(value: int) -> bytes:
    """A number that isn't below zero: zigzag, seven bits a byte, the lowest first."""
    rest, out = 2 * value, b""
    while rest >= 0x80:
        out += bytes((0x80 | rest % 0x80,))
        rest //= 0x80
    return out + bytes((rest,))
