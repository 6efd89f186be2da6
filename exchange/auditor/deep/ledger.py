"""The ledger against the trace: every leaf derived again, every tile, entry, place and checkpoint compared.

Guarantees: shares no code with the ledger's writer. What the order (topic ``ledger.order``) says was taken is taken
again from the trace; the tree is grown from it, and held against the root that each record of the order names, every
file, and every signed checkpoint. Whatever the tree doesn't have, or has and shouldn't, is named. Memory: one block of
256 leaves and the edge of the tree.

A writer may be at work meanwhile: what is signed when the audit begins is compared, what came later isn't judged. A
leaf whose salt is gone can't be held against its event; it is named, unless the event was erased by a decision. Nor can
one whose trace record has left the topic, if the archive isn't at hand; these are counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Source
from exchange.auditor.deep.blocks import ENTRY_BYTES, ORDER, Block, Bundles, Compared, Erased, Held, compare
from exchange.auditor.deep.files import WIDTH, Files, Piece, piece_of
from exchange.auditor.deep.leaves import Leaf, leaves_of
from exchange.auditor.deep.note import LogKey, Signed, read_checkpoint
from exchange.auditor.deep.tree import EMPTY, TILE_HEIGHT, Tree
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import TRACE
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.statements import Fields, identify

CHECKPOINT, COSIGNED, STATE, STAMPED = "checkpoint", "cosigned", "state.json", "stamped/"
KNOWN = (CHECKPOINT, COSIGNED, STATE, STAMPED, "attesting.json", "pending/", "forget/")
"""What lies in the ledger's folder beside tiles and places; a folder ends with a slash."""

_TOKEN = b"\0"
"""Behind a stamped checkpoint follow its time-stamps, which an auditor of the tree doesn't read."""

_LEAF_FILES = ("tile/0", "tile/entries", "places")

GAP_MAX = 1_000_000
"""Leaves of which the order says nothing, that an audit steps over."""


class LedgerState(NamedTuple):
    """The writer's own note of how far it is, as ``state.json`` says."""

    size: int
    root: bytes
    positions: dict[int, int]


@dataclass(slots=True)
class LedgerCounts:
    """`signed`: leaves of the signed tree; `compared`; `waiting`: trace records that aren't in the order yet; `gone`:
    trace records that have left, and aren't in the archive at hand."""

    signed: int = 0
    compared: Compared = field(default_factory=Compared)
    waiting: int = 0
    gone: int = 0


class _Trace:
    """One partition of the trace, followed in the order of the order."""

    def __init__(self, source: Source, partition: int) -> None:
        self.first = source.first(TRACE, partition)
        self._reads = reads = iter(source.read(TRACE, partition))
        self.head = next(reads, None)

    def advance(self) -> None:
        self.head = next(self._reads, None)


class LedgerAudit:
    """Audits one ledger; `run` it once. `partitions`: of the trace."""

    def __init__(
        self, files: Files, key: LogKey, source: Source, partitions: int, findings: Findings, erased: Erased
    ) -> None:
        """`erased`: whether a submission's content was destroyed by a decision, and the salts of its events with it."""
        self._erased = erased
        self._files = files
        self._key = key
        self._source = source
        self._findings = findings
        self._partitions = partitions
        self._traces: dict[int, _Trace] = {}
        self._taken: dict[int, int] = {}
        self._positions: dict[int, int] | None = {}
        """Of the trace; None once the order had a gap."""
        self._tree = Tree(self._full)
        self._block = Block(0, None)
        self._wanted: dict[int, list[tuple[str, bytes]]] = {}
        self._checkpoint = Signed(0, EMPTY)
        self._state: LedgerState | None = None
        self.counts = LedgerCounts()

    def run(self) -> LedgerCounts:
        """Compare everything. Raises: whatever `source` and `files` raise."""
        self._state = self._read_state()
        for name in (*self._files.walk(STAMPED.rstrip("/")), COSIGNED, CHECKPOINT):
            self._read_signed(name)
        self.counts.signed = self._checkpoint.size
        last = -1
        for read in self._source.read(ORDER, 0):
            self._check_roots()
            self._order(read)
            last = read.offset
        self._check_roots()
        self._finish(last)
        return self.counts

    # What is signed.

    def _read_signed(self, name: str) -> None:
        data = self._files.read(name)
        at = Coordinates(name, 0, 0)
        if data is None:
            if name == CHECKPOINT:
                self._findings.add("audit.missing_file", at, "nothing is signed")
            return
        try:
            signed = read_checkpoint(data.partition(_TOKEN)[0], self._key)
        except Rejected as exc:
            self._findings.add("audit.altered_checkpoint", at, str(exc))
            return
        self._wanted.setdefault(signed.size, []).append((name, signed.root))
        if name == CHECKPOINT:
            self._checkpoint = signed

    def _read_state(self) -> LedgerState | None:
        data = self._files.read(STATE)
        if data is None:
            return None
        try:
            found = json.loads(data)
            positions = {int(partition): int(offset) for partition, offset in found["positions"].items()}
            state = LedgerState(int(found["size"]), bytes.fromhex(found["root"]), positions)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            self._findings.add("audit.altered_state", Coordinates(STATE, 0, 0), f"it can't be read: {exc!r}"[:200])
            return None
        self._wanted.setdefault(state.size, []).append((STATE, state.root))
        return state

    def _check_roots(self) -> None:
        """Hold the tree, if it was signed or remembered at this size, against that."""
        for name, root in self._wanted.pop(self._tree.size, []):
            at = Coordinates(name, 0, self._tree.size)
            code = "audit.altered_state" if name == STATE else "audit.altered_checkpoint"
            if root != self._tree.root():
                self._findings.add(code, at, f"{self._tree.size} leaves of the order have another root")
            elif (
                name == STATE
                and self._state
                and self._positions is not None
                and self._state.positions != self._positions
            ):
                self._findings.add(code, at, f"positions {self._state.positions}, not {self._positions}")

    # The order, and the trace behind it.

    def _order(self, read: Read) -> None:
        at = Coordinates(read.topic, read.partition, read.offset)
        fields = self._decoded(read, at)
        if fields is None:
            return
        first, size = fields["first"], self._tree.size
        if first < size or first > size + GAP_MAX:
            self._findings.add("audit.order_gap", at, f"it goes on from leaf {first}, the one before ends at {size}")
            return
        if first > size:
            self._findings.add("audit.order_gap", at, f"nothing says what leaves {size} to {first - 1} are")
            self._step_over(first)
        if fields["root"] != self._tree.root():
            self._findings.add("audit.altered_order", at, f"it names another root of the {first} leaves before it")
        entries = fields["entries"]
        place = 0
        for taken in fields["records"]:
            partition, offset, count = taken["partition"], taken["offset"], taken["events"]
            leaves = self._take(at, partition, offset, count)
            before = None if self._positions is None else dict(self._positions)
            for event in range(count):
                entry = entries[place : place + ENTRY_BYTES]
                place += ENTRY_BYTES
                if not self._block.held:
                    self._block.positions = before
                self._block.held.append(Held(entry, read.offset, partition, offset, event, leaves[event]))
                self._add(sha256(b"\x00" + entry).digest())
            self._taken[partition] = offset + 1
            if self._positions is not None:
                self._positions[partition] = offset + 1

    def _decoded(self, read: Read, at: Coordinates) -> Fields | None:
        try:
            found = identify(read.value)
            if found.name != "ledger_order":
                raise Rejected("record.wrong_schema", found.name)
            fields = found.decode(read.value)
        except Rejected as exc:
            self._findings.add("audit.unreadable_record", at, str(exc))
            return None
        events = sum(taken["events"] for taken in fields["records"])
        if events * ENTRY_BYTES != len(fields["entries"]):
            self._findings.add("audit.altered_order", at, f"{len(fields['entries'])} bytes for {events} entries")
            return None
        return fields

    def _take(self, at: Coordinates, partition: int, offset: int, count: int) -> list[Leaf | None]:
        """The leaves of the trace record that the order took."""
        nothing: list[Leaf | None] = [None] * count
        trace = self._traces.get(partition)
        if trace is None:
            trace = self._traces[partition] = _Trace(self._source, partition)
        while trace.head is not None and trace.head.offset < offset:
            lost = Coordinates(TRACE, partition, trace.head.offset)
            if trace.head.offset >= self._taken.get(partition, 0):
                self._findings.add("audit.missing_leaf", lost, f"the order goes past it, at {at.topic}@{at.offset}")
            trace.advance()
        head = trace.head
        record = Coordinates(TRACE, partition, offset)
        if offset < trace.first:
            self.counts.gone += 1
            return nothing
        if head is None or head.offset != offset:
            sentence = f"leaves from {self._tree.size} are about it, by {at.topic}@{at.offset}"
            self._findings.add("audit.surplus_leaf", record, sentence)
            return nothing
        trace.advance()
        try:
            leaves = leaves_of(partition, offset, head.value)
        except Rejected as exc:
            self._findings.add("audit.altered_leaf", record, f"leaves from {self._tree.size}: {exc}")
            return nothing
        if len(leaves) != count:
            sentence = f"leaves from {self._tree.size}: it has {len(leaves)} events, the order took {count}"
            self._findings.add("audit.altered_leaf", record, sentence)
            return [*leaves, *nothing][:count]
        return list(leaves)

    def _step_over(self, first: int) -> None:
        """Go on after leaves that the order lacks, by the hashes in the tiles."""
        self._positions = None
        while self._tree.size < first:
            number, index = divmod(self._tree.size, WIDTH)
            data = self._piece("tile/0", number, WIDTH) or b""
            for at in range(index, min(WIDTH, first - number * WIDTH)):
                node = data[at * ENTRY_BYTES : (at + 1) * ENTRY_BYTES]
                self._block.held.append(None)
                self._add(node if len(node) == ENTRY_BYTES else bytes(ENTRY_BYTES))

    # The tree, and its files.

    def _add(self, leaf_hash: bytes) -> None:
        self._tree.add(leaf_hash)
        if len(self._block.held) == WIDTH:
            self._compare()

    def _compare(self) -> None:
        """Compare a block with its files, as far as it is signed."""
        block, first = self._block, self._block.number * WIDTH
        self._block = Block(block.number + 1, None)
        width = min(len(block.held), self._checkpoint.size - first)
        if width <= 0:
            return
        tile, entries, places = (self._piece(series, block.number, width) for series in _LEAF_FILES)
        compare(block, Bundles(tile, entries, places), width, self._findings, self.counts.compared, self._erased)

    def _full(self, level: int, number: int, hashes: list[bytes]) -> None:
        """Compare a tile above the leaves with its file, as far as it is signed."""
        width = min(len(hashes), (self._checkpoint.size >> TILE_HEIGHT * level) - number * WIDTH)
        if width <= 0:
            return
        piece = Piece(f"tile/{level}", number)
        data = self._piece(piece.series, number, width)
        if data is None:
            self._findings.add("audit.missing_file", Coordinates(piece.path, 0, 0), f"{width} hashes have none")
            return
        if len(data) != width * ENTRY_BYTES:
            sentence = f"{len(data)} bytes, not {width} hashes"
            self._findings.add("audit.altered_tile", Coordinates(piece.path, 0, 0), sentence)
        for index, node in enumerate(hashes[:width]):
            if data[index * ENTRY_BYTES : (index + 1) * ENTRY_BYTES] != node:
                first = (number * WIDTH + index) << TILE_HEIGHT * level
                sentence = f"its hash {index}, over the leaves from {first}, is another one"
                self._findings.add("audit.altered_tile", Coordinates(piece.path, 0, index), sentence)

    def _piece(self, series: str, number: int, width: int) -> bytes | None:
        """The first `width` of a file: the full one, or the partial one of the signed tree.

        A file that isn't as long as its name says is returned as it is.
        """
        level = _level(series)
        signed, partial = divmod(self._checkpoint.size >> TILE_HEIGHT * level, WIDTH)
        for own_width in (WIDTH, partial if number == signed else 0):
            data = self._files.read(Piece(series, number, own_width).path) if own_width else None
            if data is not None:
                return _cut(series, data, width) if _cut(series, data + b"x", own_width) == data else data
        return None

    # What is left.

    def _finish(self, last: int) -> None:
        if self._block.held:
            self._compare()
        for level, edge in self._tree.edges.items():
            if edge:
                self._full(level, (self._tree.size >> TILE_HEIGHT * level) // WIDTH, edge)
        for size, names in self._wanted.items():
            for name, _ in names:
                at = Coordinates(name, 0, size)
                code = "audit.altered_state" if name == STATE else "audit.altered_checkpoint"
                self._findings.add(code, at, f"{size} leaves; the order has {self._tree.size}, batch by batch")
        for partition in range(self._partitions):
            trace = self._traces.get(partition) or _Trace(self._source, partition)
            while trace.head is not None:
                self.counts.waiting += 1
                trace.advance()
        self._surplus_files(last)

    def _surplus_files(self, last: int) -> None:
        """Name the files that no tree of this order has. A writer at work is ahead of what was read: ask again."""
        beyond = [path for path in self._files.walk("") if not self._belongs(path, self._tree.size)]
        if not beyond:
            return
        size = self._tree.size
        for read in self._source.read(ORDER, 0):
            if read.offset > last:
                fields = identify(read.value).decode(read.value)
                size = fields["first"] + len(fields["entries"]) // ENTRY_BYTES
        for path in beyond:
            if not self._belongs(path, size):
                self._findings.add("audit.surplus_file", Coordinates(path, 0, 0), f"a tree of {size} leaves has none")

    def _belongs(self, path: str, size: int) -> bool:
        if any(path == name or (name.endswith("/") and path.startswith(name)) for name in KNOWN):
            return True
        if path.endswith(".draft"):
            return True
        piece = piece_of(path)
        if piece is None:
            return False
        end = (size >> TILE_HEIGHT * _level(piece.series)) - piece.number * WIDTH
        return piece.width <= end and self._is_prefix(piece)

    def _is_prefix(self, piece: Piece) -> bool:
        """A partial file that was kept holds what the fuller one begins with."""
        if piece.width == WIDTH:
            return True
        own, fuller = self._files.read(piece.path), self._piece(piece.series, piece.number, piece.width)
        if fuller is None or own is None:
            return True  # taken away meanwhile, or not signed yet
        return own == fuller or len(fuller) < len(own)


def _level(series: str) -> int:
    """The tile level that a series of files goes by."""
    return int(series[-1]) if series[-1].isdigit() else 0


def _cut(series: str, data: bytes, width: int) -> bytes:
    """The first `width` hashes, entries or places of a file."""
    if series == "places":  # its positions come first
        return data[: 2 + 12 * int.from_bytes(data[:2], "big") + width * ENTRY_BYTES]
    return data[: width * (ENTRY_BYTES + 2 if series == "tile/entries" else ENTRY_BYTES)]
