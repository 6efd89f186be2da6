"""From trace records to leaves: each event, as the trace holds it, with its coordinates in front.

Guarantees: a leaf's bytes are ``schemas/ledger_leaf``, of the version that its trace record has, and hold the event's
own bytes, never re-serialised; the tree holds only SHA-256(salt ‖ leaf), so once its salt is destroyed an event can't
even be guessed from the tree.

Source: Avro 1.12, "Binary encoding". Whatever can't be read is our own bug, for only the hop writes the trace.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from exchange.errors import InvariantBroken, Rejected
from exchange.statements import schema
from exchange.statements.codec import identify

SALT_BYTES = 16
ENTRY_BYTES = 32


def leaves(partition: int, offset: int, value: bytes) -> list[bytes]:
    """The leaves of a trace record (of the trace's own partition and offset), in its order.

    Raises: InvariantBroken: it is no trace record.
    """
    try:
        found = identify(value)
        if found.name != "trace":
            raise InvariantBroken(f"a record of schema {found.name} among the trace")
        head, events = found.cut(value)
    except Rejected as exc:
        raise InvariantBroken(f"the trace record {partition}/{offset} can't be read: {exc}") from exc
    place = schema("ledger_leaf", found.version).prefix + _number(partition) + _number(offset)
    return [place + _number(index) + head + event for index, event in enumerate(events)]


def salted(salt: bytes, leaf: bytes) -> bytes:
    """The log's entry for a leaf, 32 bytes."""
    return sha256(salt + leaf).digest()


@lru_cache(maxsize=1 << 14)  # the places within a record come again and again
def _number(value: int) -> bytes:
    """A number that isn't below zero, as Avro writes it."""
    zigzag, out = value << 1, bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)
