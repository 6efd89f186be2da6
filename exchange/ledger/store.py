"""The stored ledger: tiles, entries and places in a folder, grown by the order and signed.

What a crash leaves, step by step; the next `LedgerStore` then takes the same order again:

| it dies … | the tree | so |
|---|---|---|
| while salts are written | untouched | nothing was promised; the file is swept away |
| after the order's commit, before the tiles | as signed before | the order is taken again, with the salts kept |
| after the tiles, before the checkpoint | as signed before | the same tiles are written again and signed |
| after the checkpoint, before it is remembered | signed | taken again, to the root that was signed |

Guarantees: a checkpoint is signed only after all that it needs is durable, and only for a tree that begins with the
one signed before; the order decides, so two stores of one order can't sign two trees. A lost or damaged tree is
rebuilt from the order. Lost salts can't be: the leaves stay provable as hashes, and nobody can show what they say.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import NamedTuple

import structlog

from exchange.backbone.objects import Objects
from exchange.errors import ExchangeError, InvariantBroken, Unavailable
from exchange.ledger import forgetting, places
from exchange.ledger.checkpoint import Checkpoint, open_checkpoint
from exchange.ledger.leaves import ENTRY_BYTES, SALT_BYTES
from exchange.ledger.notes import NoteKey, VerifierKey
from exchange.ledger.order import Order
from exchange.ledger.tiles import LEVELS_MAX, WIDTH, WIDTH_BITS, Tile, bundle, entries_path, unbundle
from exchange.ledger.tree import Frontier, ReadTile, TileTree
from exchange.signatures.merkle import EMPTY_ROOT

CHECKPOINT, STATE, PENDING = "checkpoint", "state.json", "pending"

PENDING_S_MAX = 3600.0
"""Salts of no order are swept away after so long: those of a writer that took over meanwhile are younger."""

log = structlog.get_logger(__name__)


class _State(NamedTuple):
    """What is remembered beside the tree. `order_next`: offset of the topic; `positions`: of the trace."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    order_next: int = 0
    positions: dict[int, int] = {}  # noqa: RUF012  never changed


class LedgerStore:
    """The ledger in a folder, for its writer. Feed it the order from `order_next` on, then `sign`."""

    _frontier: Frontier
    _root: bytes
    _positions: dict[int, int]
    _entries: list[bytes]
    _places: places.PlaceWriter
    _grown_from: int
    order_next: int

    def __init__(self, folder: Objects, key: NoteKey) -> None:
        """Raises: Unavailable; InvariantBroken if the folder is another log's."""
        self._folder = folder
        self._key = key
        self._signed = signed(folder, key.verifier)
        self._read = tile_reader(folder)
        self._batches: list[bytes] = []
        state = _remembered(folder)
        try:
            self._begin(state)
        except ExchangeError as exc:
            log.warning("ledger.rebuilding", code=exc.code, detail=exc.detail, size=state.size)
            self._begin(_State())

    @property
    def size(self) -> int:
        """Leaves in the tree as it is, signed or not."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """Its root."""
        return self._root

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition of the trace."""
        return dict(self._positions)

    def keep_salts(self, batch: bytes, salts: bytes) -> None:
        """Make the salts of a batch durable, before its order is."""
        self._folder.write(f"{PENDING}/{batch.hex()}", salts)
        self._folder.sync()

    def take(self, order: Order, order_next: int, salts: bytes | None = None) -> None:
        """Append a batch, as the order has it; the files are durable with `sign`.

        `order_next`: where to read the order on after it. `salts`: of its leaves, if at hand; else as kept.

        Raises: InvariantBroken: the order doesn't go on from this tree, or leads past a signed root.
        """
        if (order.first, order.root) != (self.size, self._root):
            raise InvariantBroken(f"the order goes on from leaf {order.first}, the tree ends at {self.size}")
        if salts is None:
            salts = self._salts(order)
        made = self._frontier.extend([sha256(b"\x00" + entry).digest() for entry in order.entries])
        self._root = self._frontier.root()
        known = self._signed
        if known is not None and order.first < known.size <= self.size:
            self._check_signed(known)
        for tile, data in made.items():
            self._folder.write(tile.path, data)
        self._write_entries(order)
        self._places.extend(order.records, salts)
        for record in order.records:
            self._positions[record.partition] = record.offset + 1
        self._batches.append(order.batch)
        self.order_next = order_next

    def sign(self) -> Checkpoint:
        """Make everything durable, sign the tree as it is, and remember it.

        Raises: InvariantBroken: a larger tree was signed; the order was cut off.
        """
        known = self._signed
        if known is not None and known.size >= self.size:
            self._check_signed(known)
        self._folder.sync()
        made = Checkpoint(self._key.verifier.name, self.size, self._root)
        if known != made:
            self._folder.replace(CHECKPOINT, made.sign(self._key).encode())
            self._signed = made
        self._tidy()
        return made

    def remember(self) -> None:
        """Note how far the order was taken; salts that wait for that go."""
        state = {
            "size": self.size,
            "root": self._root.hex(),
            "order_next": self.order_next,
            "positions": {str(partition): offset for partition, offset in self._positions.items()},
        }
        self._folder.replace(STATE, json.dumps(state).encode())
        for batch in self._batches:
            self._folder.remove(f"{PENDING}/{batch.hex()}")
        self._batches.clear()

    def forget(self) -> int:
        """Destroy the salts that somebody asked to be destroyed, as far as their events are in the tree; returns how
        many requests were served."""
        served = 0
        for name, events in forgetting.asked(self._folder):
            found = [places.find(self._folder, self.size, *event) for event in events]
            for place in found:
                if place is not None and place[1].salt != places.NO_SALT:
                    self._places.forget(place[0])
            self._folder.sync()
            if None not in found:
                forgetting.done(self._folder, name)
                served += 1
        return served

    def sweep(self) -> None:
        """Take away old salts that no order names: their writer died, or was fenced, before its commit."""
        for name in self._folder.names(PENDING):
            if self._folder.age_s(f"{PENDING}/{name}") > PENDING_S_MAX:
                self._folder.remove(f"{PENDING}/{name}")

    def _check_signed(self, known: Checkpoint) -> None:
        """Nothing but the tree that was signed may stand at that place."""
        if (known.size, known.root) != (self.size, self._root):
            raise InvariantBroken(
                f"a tree of {known.size} leaves was signed that the order, at {self.size}, doesn't lead to"
            )

    def _begin(self, state: _State) -> None:
        self._frontier = Frontier.read(state.size, self._read)
        self._root = self._frontier.root()
        if self._root != state.root:
            raise Unavailable("ledger.damaged", f"the tiles lead to another root than that of {state.size} leaves")
        known = self._signed
        if known is not None and known.size <= state.size and TileTree(known.size, self._read).root() != known.root:
            raise Unavailable("ledger.damaged", f"the tiles lead to another root than the one signed at {known.size}")
        self._positions = dict(state.positions)
        self._entries = self._open_entries(state.size)
        self._places = places.PlaceWriter(self._folder, state.size, state.positions)
        self._grown_from = state.size
        self.order_next = state.order_next

    def _open_entries(self, size: int) -> list[bytes]:
        """The entries of the bundle that isn't full."""
        number, width = divmod(size, WIDTH)
        if not width:
            return []
        for stored in (width, WIDTH):
            data = self._folder.read(entries_path(number, stored))
            if data is not None:
                return unbundle(data, stored)[:width]
        raise Unavailable("ledger.damaged", f"no entries of bundle {number}")

    def _write_entries(self, order: Order) -> None:
        number = order.first // WIDTH
        held = self._entries + order.entries
        for at in range(0, len(held), WIDTH):
            part = held[at : at + WIDTH]
            self._folder.write(entries_path(number + at // WIDTH, len(part)), bundle(part))
        self._entries = held[len(held) // WIDTH * WIDTH :]

    def _salts(self, order: Order) -> bytes:
        """The salts of a batch: as kept for it, or (the tree is being rebuilt) from the places."""
        kept = self._folder.read(f"{PENDING}/{order.batch.hex()}")
        if kept is not None and len(kept) == len(order.entries) * SALT_BYTES:
            return kept
        salts = places.salts(self._folder, order.first, order.size)
        if places.NO_SALT in salts:
            log.warning("ledger.salts_lost", leaves=salts.count(places.NO_SALT), first=order.first)
        return b"".join(salts)

    def _tidy(self) -> None:
        """Take away the partial files of whatever became full."""
        for level in range(LEVELS_MAX):
            before, now = self._grown_from >> WIDTH_BITS * level, self.size >> WIDTH_BITS * level
            for number in range(before // WIDTH, now // WIDTH):
                partial = f"{Tile(level, number).path}.p"
                self._folder.remove(partial)
                if level == 0:
                    self._folder.remove(f"{entries_path(number)}.p")
                    self._folder.remove(f"{places.path(number)}.p")
        self._grown_from = self.size


def positions_in(folder: Objects) -> dict[int, int]:
    """The next offset of each partition of the trace, of what is signed and remembered for good."""
    return dict(_remembered(folder).positions)


def signed(folder: Objects, key: VerifierKey) -> Checkpoint | None:
    """The newest checkpoint; None before the first.

    Raises: InvariantBroken: it doesn't verify by this key, so nothing here may be gone on with.
    """
    data = folder.read(CHECKPOINT)
    if data is None:
        return None
    try:
        return open_checkpoint(data, key)
    except ExchangeError as exc:
        raise InvariantBroken(f"the ledger's checkpoint isn't of this log's key: {exc}") from exc


def tile_reader(folder: Objects) -> ReadTile:
    """What reads tiles: the one asked for, or the full one that took its place."""

    def read(tile: Tile) -> bytes:
        for one in (tile, tile.full):
            data = folder.read(one.path)
            if data is not None and len(data) == one.width * ENTRY_BYTES:
                return data
        raise Unavailable("ledger.damaged", f"no {tile.path}")

    return read


def _remembered(folder: Objects) -> _State:
    data = folder.read(STATE)
    if data is None:
        return _State()
    try:
        content = json.loads(data)
        positions = {int(partition): int(offset) for partition, offset in content["positions"].items()}
        return _State(content["size"], bytes.fromhex(content["root"]), content["order_next"], positions)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        log.warning("ledger.state_unreadable", detail=repr(exc))
        return _State()
