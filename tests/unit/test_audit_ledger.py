"""The deep audit of a ledger: whatever is deleted, reordered, altered or added is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange.auditor import CODES, Coordinates
from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.notes import NoteKey
from tests.unit.audited_ledger import KEY, LedgerWorld, make

Spoil = Callable[[LedgerWorld], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LedgerWorld:
    return make(tmp_path_factory.mktemp("audited") / "ledger")


def test_a_whole_ledger_holds(whole: LedgerWorld, tmp_path: Path) -> None:
    findings, counts = whole.audit()
    assert findings.listed == []
    assert (counts.signed, counts.compared.leaves, counts.compared.saltless, counts.waiting) == (700, 700, 0, 0)
    empty, counts = make(tmp_path / "empty", batches=0).audit()
    assert [finding.code for finding in empty.listed] == ["audit.missing_file"]
    assert counts.signed == 0


def test_what_was_not_taken_yet_waits(whole: LedgerWorld, tmp_path: Path) -> None:
    world = whole.copy(tmp_path / "ledger")
    world.append("trace", 1, world.topics["trace", 1][0].value)
    findings, counts = world.audit()
    assert findings.listed == []
    assert counts.waiting == 1


def test_what_was_erased_by_a_decision_is_not_blamed(whole: LedgerWorld, tmp_path: Path) -> None:
    """Its salt is gone, and the archived trace holds its event without the texts."""
    world = whole.copy(tmp_path / "ledger")
    world.patch("places/000", 2 + 32 * 3, bytes(16))
    world.alter("trace", 0, 0, lambda fields: fields["events"][3]["summary"].update(subject=""))
    assert {finding.code for finding in world.audit()[0].listed} == {"audit.lost_salt"}
    world.erased.add(Coordinates("documents", 0, 3))
    findings, counts = world.audit()
    assert findings.listed == []
    assert counts.compared.saltless == 1


def test_trace_records_that_left_the_topic_are_counted(whole: LedgerWorld, tmp_path: Path) -> None:
    world = whole.copy(tmp_path / "ledger")
    log = world.topics["trace", 1]
    world.firsts["trace", 1] = log[2].offset
    del log[:2]
    findings, counts = world.audit()
    assert findings.listed == []
    assert (counts.gone, counts.compared.leaves) == (2, 700)


def _order(place: int, change: Callable[[Any], object]) -> Spoil:
    return lambda world: world.alter("ledger.order", 0, place, change)


def _flip(fields: Any, name: str, at: int) -> None:  # noqa: ANN401
    data = bytearray(fields[name])
    data[at] ^= 1
    fields[name] = bytes(data)


def _double(world: LedgerWorld, topic: str, partition: int, place: int) -> None:
    """Add a copy of a record in the middle."""
    log = world.topics[topic, partition]
    log.insert(place + 1, log[place]._replace(offset=log[place].offset + 1))


def _write(path: str, data: bytes) -> Spoil:
    def spoil(world: LedgerWorld) -> None:
        place = world.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    return spoil


def _longer(path: str) -> Spoil:
    return lambda world: (world.folder / path).write_bytes((world.folder / path).read_bytes() + bytes(32))


def _remove(path: str) -> Spoil:
    return lambda world: (world.folder / path).unlink()


def _swapped(path: str, step: int, start: int = 0) -> Spoil:
    """Reorder two hashes, entries or places of a file: the fourth and the fifth."""

    def spoil(world: LedgerWorld) -> None:
        data = (world.folder / path).read_bytes()
        a, b = start + 3 * step, start + 4 * step
        changed = data[:a] + data[b : b + step] + data[a : a + step] + data[b + step :]
        (world.folder / path).write_bytes(changed)

    return spoil


def _forge(name: str, key: NoteKey, size: int) -> Spoil:
    def spoil(world: LedgerWorld) -> None:
        (world.folder / name).parent.mkdir(exist_ok=True)
        (world.folder / name).write_text(Checkpoint(KEY.verifier.name, size, bytes(32)).sign(key))

    return spoil


_CASES: dict[str, tuple[Spoil, str, Coordinates]] = {
    # The trace: its records, and events within them.
    "trace deleted": (lambda w: w.topics["trace", 1].pop(1), "audit.surplus_leaf", Coordinates("trace", 1, 2)),
    "trace reordered": (lambda w: w.swap("trace", 2, 0), "audit.altered_leaf", Coordinates("trace", 2, 0)),
    "trace added": (lambda w: _double(w, "trace", 0, 0), "audit.missing_leaf", Coordinates("trace", 0, 1)),
    "trace altered": (
        lambda w: w.alter("trace", 0, 0, lambda f: f["events"][5].update(code="x")),
        "audit.altered_leaf",
        Coordinates("documents", 0, 5),
    ),
    "trace altered in what nobody can derive": (
        lambda w: w.alter("trace", 0, 0, lambda f: f.update(worker="another")),
        "audit.altered_leaf",
        Coordinates("documents", 0, 0),
    ),
    "event deleted": (
        lambda w: w.alter("trace", 0, 0, lambda f: f["events"].pop(5)),
        "audit.altered_leaf",
        Coordinates("trace", 0, 0),
    ),
    "events reordered": (
        lambda w: w.alter("trace", 0, 0, lambda f: f["events"].reverse()),
        "audit.altered_leaf",
        Coordinates("documents", 0, 69),
    ),
    # The order.
    "order deleted": (
        lambda w: w.topics["ledger.order", 0].pop(2),
        "audit.order_gap",
        Coordinates("ledger.order", 0, 6),
    ),
    "order deleted at its end": (
        lambda w: w.topics["ledger.order", 0].pop(),
        "audit.altered_checkpoint",
        Coordinates("checkpoint", 0, 700),
    ),
    "order reordered": (lambda w: w.swap("ledger.order", 0, 2), "audit.order_gap", Coordinates("ledger.order", 0, 4)),
    "order added": (
        lambda w: _double(w, "ledger.order", 0, 2),
        "audit.order_gap",
        Coordinates("ledger.order", 0, 5),
    ),
    "order's entry altered": (
        _order(2, lambda f: _flip(f, "entries", 40)),
        "audit.altered_order",
        Coordinates("ledger.order", 0, 4),
    ),
    "order's root altered": (
        _order(2, lambda f: _flip(f, "root", 0)),
        "audit.altered_order",
        Coordinates("ledger.order", 0, 4),
    ),
    "order's coordinates altered": (
        _order(2, lambda f: f["records"][0].update(offset=99)),
        "audit.surplus_leaf",
        Coordinates("trace", 2, 99),
    ),
    "order that can't be read": (
        lambda w: w.topics["ledger.order", 0].__setitem__(1, w.topics["ledger.order", 0][1]._replace(value=b"x")),
        "audit.unreadable_record",
        Coordinates("ledger.order", 0, 2),
    ),
    # Tiles.
    "tile altered": (lambda w: w.patch("tile/0/001", 64), "audit.altered_tile", Coordinates("tile/0/001", 0, 258)),
    "tile reordered": (_swapped("tile/0/000", 32), "audit.altered_tile", Coordinates("tile/0/000", 0, 3)),
    "tile deleted": (_remove("tile/0/001"), "audit.missing_file", Coordinates("tile/0/001", 0, 256)),
    "tile longer": (_longer("tile/0/001"), "audit.altered_tile", Coordinates("tile/0/001", 0, 256)),
    "tile added": (_write("tile/0/003", bytes(8192)), "audit.surplus_file", Coordinates("tile/0/003", 0, 0)),
    "partial tile altered": (
        lambda w: w.patch("tile/0/002.p/188", 0),
        "audit.altered_tile",
        Coordinates("tile/0/002", 0, 512),
    ),
    "earlier partial tile altered": (
        lambda w: w.patch("tile/0/002.p/88", 0),
        "audit.surplus_file",
        Coordinates("tile/0/002.p/88", 0, 0),
    ),
    "upper tile altered": (
        lambda w: w.patch("tile/1/000.p/2", 33),
        "audit.altered_tile",
        Coordinates("tile/1/000", 0, 1),
    ),
    "upper tile longer": (_longer("tile/1/000.p/2"), "audit.altered_tile", Coordinates("tile/1/000", 0, 0)),
    "upper tile deleted": (_remove("tile/1/000.p/2"), "audit.missing_file", Coordinates("tile/1/000", 0, 0)),
    "upper tile added": (_write("tile/2/000", bytes(8192)), "audit.surplus_file", Coordinates("tile/2/000", 0, 0)),
    # Entries.
    "entry altered": (
        lambda w: w.patch("tile/entries/000", 36),
        "audit.altered_entry",
        Coordinates("tile/entries/000", 0, 1),
    ),
    "entries reordered": (
        _swapped("tile/entries/000", 34),
        "audit.altered_entry",
        Coordinates("tile/entries/000", 0, 3),
    ),
    "entry of another length": (
        lambda w: w.patch("tile/entries/000", 0, b"\x01\x00"),
        "audit.altered_entry",
        Coordinates("tile/entries/000", 0, 0),
    ),
    "entries deleted": (_remove("tile/entries/001"), "audit.missing_file", Coordinates("tile/entries/001", 0, 256)),
    "entries longer": (_longer("tile/entries/001"), "audit.altered_entry", Coordinates("tile/entries/001", 0, 256)),
    "entries added": (_write("tile/entries/003", b""), "audit.surplus_file", Coordinates("tile/entries/003", 0, 0)),
    # Places.
    "salt altered": (
        lambda w: w.patch("places/000", 2 + 32, b"x" * 16),
        "audit.altered_leaf",
        Coordinates("documents", 0, 1),
    ),
    "salt destroyed": (
        lambda w: w.patch("places/000", 2 + 32, bytes(16)),
        "audit.lost_salt",
        Coordinates("places/000", 0, 1),
    ),
    "place altered": (
        lambda w: w.patch("places/000", 2 + 32 + 27),
        "audit.altered_place",
        Coordinates("places/000", 0, 1),
    ),
    "places reordered": (_swapped("places/000", 32, 2), "audit.altered_place", Coordinates("places/000", 0, 3)),
    "positions altered": (
        lambda w: w.patch("places/001", 12),
        "audit.altered_place",
        Coordinates("places/001", 0, 256),
    ),
    "places deleted": (_remove("places/001"), "audit.missing_file", Coordinates("places/001", 0, 256)),
    "places longer": (_longer("places/001"), "audit.altered_place", Coordinates("places/001", 0, 256)),
    "places cut": (_write("places/001", b"\x00"), "audit.altered_place", Coordinates("places/001", 0, 256)),
    "places added": (_write("places/003", b""), "audit.surplus_file", Coordinates("places/003", 0, 0)),
    # What is signed, and what is remembered.
    "checkpoint deleted": (_remove("checkpoint"), "audit.missing_file", Coordinates("checkpoint", 0, 0)),
    "checkpoint altered": (
        lambda w: w.patch("checkpoint", 21, b"9"),
        "audit.altered_checkpoint",
        Coordinates("checkpoint", 0, 0),
    ),
    "checkpoint of another key": (
        _forge("checkpoint", NoteKey.generate(KEY.verifier.name), 700),
        "audit.altered_checkpoint",
        Coordinates("checkpoint", 0, 0),
    ),
    "checkpoint of another tree": (
        _forge("checkpoint", KEY, 700),
        "audit.altered_checkpoint",
        Coordinates("checkpoint", 0, 700),
    ),
    "checkpoint in the middle of a batch": (
        _forge("checkpoint", KEY, 650),
        "audit.altered_checkpoint",
        Coordinates("checkpoint", 0, 650),
    ),
    "checkpoint beyond the tree": (
        _forge("checkpoint", KEY, 999),
        "audit.altered_checkpoint",
        Coordinates("checkpoint", 0, 999),
    ),
    "cosigned checkpoint of another tree": (
        _forge("cosigned", KEY, 300),
        "audit.altered_checkpoint",
        Coordinates("cosigned", 0, 300),
    ),
    "stamped checkpoint of another tree": (
        _forge("stamped/00000000000000000300-1", KEY, 300),
        "audit.altered_checkpoint",
        Coordinates("stamped/00000000000000000300-1", 0, 300),
    ),
    "state that can't be read": (_write("state.json", b"{"), "audit.altered_state", Coordinates("state.json", 0, 0)),
    "state altered": (
        _write("state.json", b'{"size": 700, "root": "00", "audit.order_next": 0, "positions": {}}'),
        "audit.altered_state",
        Coordinates("state.json", 0, 700),
    ),
    "file added": (_write("notes.txt", b"hello"), "audit.surplus_file", Coordinates("notes.txt", 0, 0)),
    "file added in another spelling": (
        _write("tile/0/0001", b""),
        "audit.surplus_file",
        Coordinates("tile/0/0001", 0, 0),
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_spoiled(whole: LedgerWorld, tmp_path: Path, name: str) -> None:
    spoil, code, at = _CASES[name]
    world = whole.copy(tmp_path / "ledger")
    spoil(world)
    findings, _ = world.audit()
    assert (code, at) in [(finding.code, finding.at) for finding in findings.listed], findings.listed[:5]
    assert {finding.code for finding in findings.listed} <= CODES.keys()
