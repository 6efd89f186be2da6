"""Cursors: where an agency stopped reading its inbox, in a form that says nothing and promises nothing.

Guarantees: a cursor names the inbox partition that it was made for; one of another place is refused. It grants
nothing: what is read is always the caller's own, whatever the cursor says.
"""

from __future__ import annotations

import base64
import binascii
import struct

from exchange.gateway.problems import Refused

_FORM = struct.Struct(">BBHq")
_VERSION = 1


def encode(level: int, partition: int, offset: int) -> str:
    """The cursor of an inbox offset (that of the next record)."""
    return base64.urlsafe_b64encode(_FORM.pack(_VERSION, level, partition, offset)).decode("ascii")


def decode(cursor: str, level: int, partition: int) -> int:
    """The offset to go on from; Refused ``cursor.invalid`` if it isn't of this inbox."""
    try:
        version, of_level, of_partition, offset = _FORM.unpack(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, ValueError) as exc:
        raise Refused("cursor.invalid", repr(exc)[:100]) from exc
    if (version, of_level, of_partition) != (_VERSION, level, partition) or offset < 0:
        raise Refused("cursor.invalid", f"of {of_level}/{of_partition} at {offset}")
    return int(offset)
