"""The one file: a zip archive with a single spelling, so that no byte of it can differ unseen.

Guarantees: `unpack` takes exactly what `pack` makes: known names in their order, stored without compression, one
date, nothing between, before or after. So nothing in it swells, nests, repeats or leads out of a folder, and it is
read without trusting a single length. Any bytes become parts or `Rejected`.

Source: PKWARE APPNOTE 6.3.10, §4.3.7 (local header), §4.3.12 (central directory), §4.3.16 (its end).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from exchange.errors import InvariantBroken, Rejected

FILE_BYTES_MAX = 256 * 1024 * 1024
"""A document to all 10,599 communes, each with its receipt, takes about 60 MB."""
PARTS_MAX = 64
NAME_BYTES_MAX = 64

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION, _UNIX = 20, 3 << 8
_DATE = 1 << 5 | 1  # 1980-01-01, the first day of zip: the archive doesn't know when it was made
_MODE = 0o100644 << 16


def pack(parts: Mapping[str, bytes]) -> bytes:
    """The archive of these parts, in their order; InvariantBroken beyond the limits."""
    local, central, at = list[bytes](), list[bytes](), 0
    for name, data in parts.items():
        encoded, crc, size = name.encode("ascii"), zlib.crc32(data), len(data)
        common = (_VERSION, 0, 0, 0, _DATE, crc, size, size, len(encoded), 0)
        local += (_LOCAL.pack(_LOCAL_MARK, *common), encoded, data)
        central += (_CENTRAL.pack(_CENTRAL_MARK, _UNIX | _VERSION, *common, 0, 0, 0, _MODE, at), encoded)
        at += _LOCAL.size + len(encoded) + size
    listed = b"".join(central)
    if at + len(listed) > FILE_BYTES_MAX or len(parts) > PARTS_MAX:
        raise InvariantBroken(f"evidence of {at} bytes in {len(parts)} parts")
    end = _END.pack(_END_MARK, 0, 0, len(parts), len(parts), len(listed), at, 0)
    return b"".join([*local, listed, end])


def unpack(data: bytes) -> dict[str, bytes]:
    """The parts of an archive that `pack` made.

    Raises: Rejected ``evidence.too_large``, ``evidence.not_an_archive``, ``evidence.not_canonical`` (a zip, but not
        as we write it: compressed, commented, reordered, cut, added to).
    """
    if len(data) > FILE_BYTES_MAX:
        raise Rejected("evidence.too_large", f"{len(data)} > {FILE_BYTES_MAX} bytes")
    if not data.startswith(_LOCAL_MARK):
        raise Rejected("evidence.not_an_archive", f"begins with {data[:4].hex() or 'nothing'}")
    parts: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == _LOCAL_MARK:
        if len(parts) == PARTS_MAX:
            raise Rejected("evidence.too_large", f"more than {PARTS_MAX} parts")
        name, start, at = _entry(data, at)
        if name in parts:
            raise Rejected("evidence.not_canonical", f"{name} twice")
        parts[name] = data[start:at]
    if pack(parts) != data:
        raise Rejected("evidence.not_canonical", "the archive isn't as the exchange writes it")
    return parts


def _entry(data: bytes, at: int) -> tuple[str, int, int]:
    """The name of the part at a place, where its bytes begin, and where they end."""
    if at + _LOCAL.size > len(data):
        raise Rejected("evidence.not_canonical", "cut off")
    fields = _LOCAL.unpack_from(data, at)
    method, size, name_bytes, extra_bytes = fields[3], fields[7], fields[9], fields[10]
    start = at + _LOCAL.size + name_bytes
    if method or extra_bytes or not 0 < name_bytes <= NAME_BYTES_MAX or start + size > len(data):
        raise Rejected("evidence.not_canonical", "compressed, with extra fields, or cut off")
    name = data[start - name_bytes : start]
    if not name.isascii():
        raise Rejected("evidence.not_canonical", "a name that isn't ASCII")
    return name.decode("ascii"), start, start + size
