"""256 leaves of the ledger against their three files: the tile, the bundle of entries, and the bundle of places.

Guarantees: for each leaf four words are compared: what the trace gives with the leaf's salt, what the order holds, what
the bundle of entries holds, and the hash in the tile. Whoever stands alone is named, with the leaf.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.deep.files import Piece
from exchange.auditor.deep.leaves import Leaf
from exchange.auditor.findings import Findings

ORDER = "ledger.order"
ENTRY_BYTES, SALT_BYTES = 32, 16
NO_SALT = bytes(SALT_BYTES)

_COUNT, _POSITION, _PLACE = struct.Struct(">H"), struct.Struct(">IQ"), struct.Struct(">16sIQI")
_LENGTH = ENTRY_BYTES.to_bytes(2, "big")


class Held(NamedTuple):
    """A leaf as the order has it. `leaf`: None if the trace has no such event."""

    entry: bytes
    order_offset: int
    partition: int
    offset: int
    event: int
    leaf: Leaf | None


@dataclass(slots=True)
class Block:
    """Leaves `number` × 256 …; `held`: None where no record of the order is there.

    `positions`: of the trace before the first of them, if they are known.
    """

    number: int
    positions: dict[int, int] | None
    held: list[Held | None] = field(default_factory=list)


class Bundles(NamedTuple):
    """The files of a block, each cut to the signed width; None: there is none."""

    tile: bytes | None
    entries: bytes | None
    places: bytes | None


@dataclass(slots=True)
class Compared:
    """How many leaves were compared, and how many can't be any more since their salts are gone."""

    leaves: int = 0
    saltless: int = 0


Erased = Callable[[Coordinates], bool]
"""Whether a submission was erased by a decision of the directory."""


def compare(block: Block, files: Bundles, width: int, findings: Findings, compared: Compared, erased: Erased) -> None:
    """Compare the first `width` leaves of a block with its files."""
    held = block.held[:width]
    for name, data in zip(("tile/0", "tile/entries", "places"), files, strict=True):
        if data is None:
            at = Coordinates(Piece(name, block.number).path, 0, block.number * 256)
            findings.add("audit.missing_file", at, f"{width} leaves from {block.number * 256} have none")
    hashes = _cut(files.tile, width, "tile/0", block, findings)
    entries = _entries(files.entries, width, block, findings)
    places = _places(files.places, width, block, findings)
    first = block.number * 256
    for index, one in enumerate(held):
        entry = None if entries is None else entries[index]
        node = None if hashes is None else hashes[index]
        place = None if places is None else places[index]
        compared.leaves += 1
        if one is not None:
            _compare_leaf(first + index, one, (entry, node, place), findings, compared, erased)
        elif entry is not None and node is not None and sha256(b"\x00" + entry).digest() != node:
            at = Coordinates(Piece("tile/entries", block.number).path, 0, first + index)
            findings.add("audit.altered_entry", at, f"leaf {first + index}: tile and entries differ")


_Files = tuple[bytes | None, bytes | None, tuple[bytes, int, int, int] | None]


def _compare_leaf(
    number: int, held: Held, files: _Files, findings: Findings, compared: Compared, erased: Erased
) -> None:
    entry, node, place = files
    block = number // 256
    name = f"leaf {number}, event {held.event} of trace/{held.partition}/{held.offset}"
    expected = sha256(b"\x00" + held.entry).digest()
    tile_agrees = node is None or node == expected
    derived = None
    if place is not None:
        if place[1:] != (held.partition, held.offset, held.event):
            at = Coordinates(Piece("places", block).path, 0, number)
            findings.add("audit.altered_place", at, f"{name}: it is placed at {place[1]}/{place[2]}/{place[3]}")
        if place[0] == NO_SALT:
            compared.saltless += 1
            # An event that left the topics can't be told from one that was erased.
            if held.leaf is not None and not erased(held.leaf.about()[0]):
                at = Coordinates(Piece("places", block).path, 0, number)
                findings.add("audit.lost_salt", at, f"{name}: nobody can show it any more")
        elif held.leaf is not None:
            derived = sha256(place[0] + held.leaf.data).digest()
    if derived is not None and derived != held.entry:
        if node is not None and sha256(b"\x00" + derived).digest() == node:  # trace and tile against the order
            at = Coordinates(ORDER, 0, held.order_offset)
            findings.add("audit.altered_order", at, f"{name}: it holds another entry")
            tile_agrees = True
        elif held.leaf is not None:
            at, statement_id = held.leaf.about()
            if erased(at):  # its texts may be blank before its salt is gone
                derived = None
            else:
                findings.add("audit.altered_leaf", at, f"{name}: with its salt it gives another entry", statement_id)
    if not tile_agrees:
        at = Coordinates(Piece("tile/0", block).path, 0, number)
        findings.add("audit.altered_tile", at, f"{name}: it has another hash")
    right = derived if derived is not None and tile_agrees and node != expected else held.entry
    if entry is not None and entry != right:
        at = Coordinates(Piece("tile/entries", block).path, 0, number)
        findings.add("audit.altered_entry", at, f"{name}: it holds another entry")


def _cut(data: bytes | None, width: int, series: str, block: Block, findings: Findings) -> list[bytes] | None:
    if data is None:
        return None
    if len(data) != width * ENTRY_BYTES:
        at = Coordinates(Piece(series, block.number).path, 0, block.number * 256)
        findings.add("audit.altered_tile", at, f"{len(data)} bytes, not {width} hashes")
        return None
    return [data[at : at + ENTRY_BYTES] for at in range(0, len(data), ENTRY_BYTES)]


def _entries(data: bytes | None, width: int, block: Block, findings: Findings) -> list[bytes] | None:
    if data is None:
        return None
    step = ENTRY_BYTES + len(_LENGTH)
    found = [data[at : at + step] for at in range(0, len(data), step)]
    if len(data) != width * step or any(not one.startswith(_LENGTH) for one in found):
        at = Coordinates(Piece("tile/entries", block.number).path, 0, block.number * 256)
        findings.add("audit.altered_entry", at, f"{len(data)} bytes, not {width} entries of {ENTRY_BYTES}")
        return None
    return [one[len(_LENGTH) :] for one in found]


def _places(
    data: bytes | None, width: int, block: Block, findings: Findings
) -> list[tuple[bytes, int, int, int]] | None:
    if data is None:
        return None
    at = Coordinates(Piece("places", block.number).path, 0, block.number * 256)
    try:
        (count,) = _COUNT.unpack_from(data)
        start = _COUNT.size + count * _POSITION.size
        positions = dict(_POSITION.iter_unpack(data[_COUNT.size : start]))
        found = list(_PLACE.iter_unpack(data[start:]))
    except struct.error as exc:
        findings.add("audit.altered_place", at, f"it can't be read: {exc}")
        return None
    if len(found) != width:
        findings.add("audit.altered_place", at, f"{len(found)} places, not {width}")
        return None
    before, leaf = block.positions, block.held[0]
    if before is not None and leaf is not None and not _leads_to(positions, before, leaf):
        findings.add("audit.altered_place", at, f"positions {positions}, not {before}")
    return found


def _leads_to(stated: Mapping[int, int], before: Mapping[int, int], first: Held) -> bool:
    """The positions are those before the first leaf; of its own partition, before or at its record."""
    own = first.partition
    others = {partition: offset for partition, offset in stated.items() if partition != own}
    return others == {partition: offset for partition, offset in before.items() if partition != own} and stated.get(
        own
    ) in {before.get(own), first.offset}
