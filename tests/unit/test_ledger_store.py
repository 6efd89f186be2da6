"""The stored ledger: whatever write fails, the same order leads to the same signed tree; keys are made once."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from exchange.backbone.folder import Folder
from exchange.errors import InvariantBroken, Misconfigured, Unavailable
from exchange.ledger import forgetting
from exchange.ledger.forgetting import Forgotten, ask_to_forget
from exchange.ledger.keys import ensure_key, read_key
from exchange.ledger.notes import COSIGNATURE, NoteKey
from exchange.ledger.order import Order, Taken
from exchange.ledger.places import NO_SALT, find
from exchange.ledger.store import CHECKPOINT, LedgerStore, signed, tile_reader
from exchange.ledger.tree import TileTree
from exchange.signatures.merkle import EMPTY_ROOT, leaf_hash, root

KEY = NoteKey.generate("log.test")
SIZES = (200, 100, 300)


class Failing(Folder):
    """Its disk is full from the `left`-th write on."""

    def __init__(self, folder: Path, left: int) -> None:
        super().__init__(folder)
        self.left = left

    def _put(self, place: Path, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError("no space left on device")
        super()._put(place, data)


def orders() -> list[tuple[Order, bytes]]:
    """Batches that go on from each other, with their salts."""
    made, entries, top = list[tuple[Order, bytes]](), list[bytes](), EMPTY_ROOT
    for number, size in enumerate(SIZES):
        own = [sha256(f"{number}/{n}".encode()).digest() for n in range(size)]
        order = Order(len(entries), top, bytes([number]) * 16, [Taken(0, number, size)], own)
        made.append((order, b"".join(sha256(one).digest()[:16] for one in own)))
        entries += own
        top = root([leaf_hash(entry) for entry in entries])
    return made


def write(folder: Folder) -> LedgerStore:
    """What a writer does from wherever the folder's ledger ends."""
    store = LedgerStore(folder, KEY)
    for offset, (order, salts) in enumerate(orders()):
        if order.size > store.size:
            store.keep_salts(order.batch, salts)
            store.take(order, offset + 1, salts)
            store.sign()
            store.remember()
    return store


def test_whichever_write_fails_the_tree_is_the_same(tmp_path: Path) -> None:
    whole = write(Folder(tmp_path / "whole"))
    failures = 0
    for left in range(0, 60, 2):
        folder = tmp_path / str(left)
        try:
            write(Failing(folder, left))
        except Unavailable as exc:
            failures += exc.code == "storage.unavailable"
        store = write(Folder(folder))
        assert (store.size, store.root) == (whole.size, whole.root)
        order, salts = orders()[1]
        found = find(Folder(folder), 600, 0, 1, 99)
        assert found is not None
        assert (found[0], found[1].salt) == (order.size - 1, salts[-16:])
    assert 10 < failures < 30


def test_an_order_that_does_not_go_on_is_refused(tmp_path: Path) -> None:
    store = LedgerStore(Folder(tmp_path), KEY)
    for order in (orders()[1][0], orders()[0][0]._replace(root=bytes(32))):
        with pytest.raises(InvariantBroken):
            store.take(order, 1)


def test_a_checkpoint_of_another_key_stops_it(tmp_path: Path) -> None:
    write(Folder(tmp_path))
    with pytest.raises(InvariantBroken):
        LedgerStore(Folder(tmp_path), NoteKey.generate("log.test"))
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(InvariantBroken):
        LedgerStore(Folder(tmp_path), KEY)


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.key"
    first = ensure_key(path, "log.test")
    assert ensure_key(path, "another.name").verifier == first.verifier == read_key(path).verifier
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["ledger.key"]
    with pytest.raises(Misconfigured):
        read_key(path, COSIGNATURE)
    for wrong in ("x", first.secret.replace("log", "lag")):
        path.write_text(wrong, "utf-8")
        with pytest.raises(Misconfigured):
            read_key(path)
    with pytest.raises(Misconfigured):
        read_key(tmp_path / "none")


def test_a_salt_that_was_destroyed_is_nowhere_and_the_tree_stays(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    store = write(folder)
    size, top = store.size, store.root
    at = {index: find(folder, size, 0, *place) for index, place in ((5, (0, 5)), (590, (2, 290)))}  # full, and the last
    salts = [found[1].salt for found in at.values() if found is not None]
    assert len(salts) == 2
    for index in at:  # control: each lies in its bundle
        assert any(
            sha256(orders_entry(index)).digest()[:16] in path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        )
    ask_to_forget(folder, "7-0", [Forgotten(0, 0, 5), Forgotten(0, 2, 290)])
    assert store.forget() == 1
    assert forgetting.asked(folder) == []
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [salt for salt in salts if salt in everything]
    for place in ((0, 5), (2, 290)):
        found = find(folder, size, 0, *place)
        assert found is not None
        assert found[1].salt == NO_SALT
    neighbour = find(folder, size, 0, 2, 291)
    assert neighbour is not None
    assert neighbour[1].salt != NO_SALT
    # What the writer holds in memory doesn't bring it back; nor does a writer that begins again.
    for again in (store, LedgerStore(folder, KEY)):
        own = [sha256(f"more/{again.size}/{n}".encode()).digest() for n in range(10)]
        again.take(
            Order(again.size, again.root, b"m" * 16, [Taken(0, again.size, 10)], own), 9, bytes(range(1, 17)) * 10
        )
        again.sign()
        again.remember()
        found = find(folder, again.size, 0, 2, 290)
        assert found is not None
        assert found[1].salt == NO_SALT
    assert signed(folder, KEY.verifier) is not None
    assert TileTree(size, tile_reader(folder)).root() == top


def test_what_is_not_in_the_tree_yet_is_forgotten_when_it_is(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    store = write(folder)
    ask_to_forget(folder, "7-0", [Forgotten(0, 0, 5), Forgotten(1, 3, 0)])
    assert store.forget() == 0
    store.take(Order(store.size, store.root, b"m" * 16, [Taken(1, 3, 1)], [bytes(32)]), 9, b"s" * 16)
    assert store.forget() == 1
    found = find(folder, store.size, 1, 3, 0)
    assert found is not None
    assert found[1].salt == NO_SALT


def orders_entry(index: int) -> bytes:
    """The entry of a leaf of `orders`."""
    return [entry for order, _ in orders() for entry in order.entries][index]
