"""The witness: it follows one growing tree of a log, remembers before it speaks, and cosigns nothing else."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from exchange.backbone.folder import Folder
from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.ledger import cosigning
from exchange.ledger.checkpoint import Checkpoint, Cosignature, cosignatures
from exchange.ledger.notes import COSIGNATURE, NoteKey
from exchange.ledger.order import Order, Taken
from exchange.ledger.store import LedgerStore
from exchange.ledger.witness import Request, Witness, parse_request

LOG, KEY = NoteKey.generate("log.test"), NoteKey.generate("witness.test", COSIGNATURE)
NOW_S = 1_800_000_000


def grow(folder: Folder, count: int, start: int = 0, key: NoteKey = LOG, mark: str = "") -> Checkpoint:
    """Let a stored log grow by `count` leaves and sign."""
    store = LedgerStore(folder, key)
    entries = [sha256(f"{mark}{n}".encode()).digest() for n in range(start, start + count)]
    store.take(Order(store.size, store.root, b"b" * 16, [Taken(0, start, count)], entries), 0, bytes(16 * count))
    checkpoint = store.sign()
    store.remember()
    return checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "ledger")


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness", KEY, [LOG.verifier])


def ask(folder: Folder, witness: Witness, old: int) -> list[Cosignature]:
    """One round: ask, let cosign, keep."""
    asked = cosigning.request(folder, LOG.verifier, old)
    line = witness.add_checkpoint(parse_request(asked.encode()), NOW_S)
    cosigning.keep(folder, LOG.verifier, asked.checkpoint, [line], KEY.verifier)
    kept = folder.read(cosigning.COSIGNED)
    assert kept is not None
    return cosignatures(kept, [KEY.verifier])


def test_it_follows_a_growing_tree(folder: Folder, witness: Witness, tmp_path: Path) -> None:
    grow(folder, 300)
    assert ask(folder, witness, 0) == [Cosignature("witness.test", NOW_S)]
    grow(folder, 7, 300)
    assert ask(folder, witness, 300) == [Cosignature("witness.test", NOW_S)]
    assert witness.size("log.test") == 307
    again = Witness(tmp_path / "witness", KEY, [LOG.verifier])  # another process
    assert again.size("log.test") == 307
    assert ask(folder, again, 307) == [Cosignature("witness.test", NOW_S)]
    assert cosigning.newest(folder, LOG.verifier, 308) is None
    last = grow(folder, 1, 307)
    assert cosigning.newest(folder, LOG.verifier, 307) == folder.read(cosigning.COSIGNED)
    assert cosigning.newest(folder, LOG.verifier, 308) == folder.read("checkpoint") == last.sign(LOG).encode()


def test_a_forked_log_gets_nothing(folder: Folder, witness: Witness, tmp_path: Path) -> None:
    grow(folder, 10)
    ask(folder, witness, 0)
    fork = Folder(tmp_path / "fork")
    grow(fork, 11, mark="fork")
    for old in (10, 0):
        with pytest.raises(Rejected) as caught:
            ask(fork, witness, old)
        assert caught.value.code == ("ledger.inconsistent" if old else "witness.conflict")
    smaller = Folder(tmp_path / "smaller")
    grow(smaller, 9)
    with pytest.raises(Rejected, match=r"ledger\.size"):
        ask(smaller, witness, 10)
    assert witness.size("log.test") == 10
    grow(folder, 1, 10)
    assert ask(folder, witness, 10)


def test_it_tells_from_where_to_prove(folder: Folder, witness: Witness) -> None:
    grow(folder, 10)
    ask(folder, witness, 0)
    with pytest.raises(Rejected) as caught:
        ask(folder, witness, 5)
    assert (caught.value.code, caught.value.detail) == ("witness.conflict", "10")


def test_another_log_or_key_is_refused(witness: Witness, tmp_path: Path) -> None:
    for name, code in (("other.test", "witness.unknown_log"), ("log.test", "note.unknown_signer")):
        other, key = Folder(tmp_path / name), NoteKey.generate(name)
        grow(other, 3, key=key)
        with pytest.raises(Rejected) as caught:
            witness.add_checkpoint(cosigning.request(other, key.verifier, 0), NOW_S)
        assert caught.value.code == code


def test_it_remembers_before_it_speaks(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(folder, 3)
    witness = Witness(tmp_path / "witness", KEY, [LOG.verifier])

    def full(*_: object) -> None:
        raise Unavailable("storage.unavailable", "no space left on device")

    monkeypatch.setattr(Folder, "replace", full)
    with pytest.raises(Unavailable, match=r"storage\.unavailable"):
        witness.add_checkpoint(cosigning.request(folder, LOG.verifier, 0), NOW_S)
    assert witness.size("log.test") == 0


def test_a_damaged_memory_stops_it(folder: Folder, witness: Witness, tmp_path: Path) -> None:
    grow(folder, 3)
    ask(folder, witness, 0)
    (tmp_path / "witness" / "witnessed.json").write_text("{", "utf-8")
    with pytest.raises(Misconfigured):
        ask(folder, witness, 3)


def test_an_answer_about_another_checkpoint_is_not_kept(folder: Folder, witness: Witness) -> None:
    grow(folder, 3)
    asked = cosigning.request(folder, LOG.verifier, 0)
    line = witness.add_checkpoint(asked, NOW_S)
    grow(folder, 1, 3)
    later = cosigning.request(folder, LOG.verifier, 3)
    with pytest.raises(Rejected, match=r"checkpoint\.cosignature"):
        cosigning.keep(folder, LOG.verifier, later.checkpoint, [line], KEY.verifier)
    with pytest.raises(Rejected, match=r"checkpoint\.cosignature"):
        cosigning.keep(folder, LOG.verifier, later.checkpoint, [], KEY.verifier)


@pytest.mark.parametrize(
    "head", ["", "old", "old x", "old 01", "old 1\nAAAA", "old 1\n!", "old 1" + "\nAAAA" * 64, "é"]
)
def test_any_bytes_are_a_request_or_refused(head: str) -> None:
    with pytest.raises(Rejected):
        parse_request(f"{head}\n\nx".encode())
    with pytest.raises(Rejected):
        parse_request(head.encode())
    assert parse_request(b"old 1\n\nx") == Request(1, [], b"x")
