"""What a client makes of the checkpoints that it is shown, and of proofs that don't come."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from exchange.errors import Misconfigured, Unavailable
from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.notes import NoteKey
from exchange.sdk import watching
from exchange.sdk.session import GatewayRefused, Session
from exchange.sdk.watching import LedgerBroken, Watching
from exchange.signatures.merkle import leaf_hash, node_hash

KEY = NoteKey.generate("ledger.test")
LEAVES = [leaf_hash(bytes([number])) for number in range(2)]
ONE, TWO = Checkpoint("ledger.test", 1, LEAVES[0]), Checkpoint("ledger.test", 2, node_hash(*LEAVES))


class FakeSession:
    """Stands for a gateway that proves what it is told to prove, or fails."""

    def __init__(self) -> None:
        self.seen: Callable[[str], None] = lambda _: None
        self.proof: list[bytes] | Exception = [LEAVES[1]]
        self.asked = 0

    def call(self, method: str, path: str, query: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        assert (method, path, query) == ("GET", "/v1/ledger/consistency", {"before": 1, "after": 2})
        self.asked += 1
        if isinstance(self.proof, Exception):
            raise self.proof
        return {"proof": [base64.b64encode(one).decode() for one in self.proof]}


def header(checkpoint: Checkpoint, key: NoteKey = KEY) -> str:
    return base64.b64encode(checkpoint.sign(key).encode()).decode()


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


def watched(session: FakeSession, folder: Path, every_s: float = 0.0) -> Watching:
    return Watching(cast(Session, session), folder, str(KEY.verifier), every_s, lambda: 0)


def test_a_tree_that_goes_on_is_kept_and_asked_for_once(session: FakeSession, tmp_path: Path) -> None:
    one = watched(session, tmp_path)
    for shown in (ONE, ONE, TWO, TWO):
        one.saw(header(shown))
    assert (one.checkpoint, session.asked) == (TWO, 1)
    assert watched(session, tmp_path).checkpoint is None  # before it was asked anything
    again = watched(session, tmp_path)
    again.saw(header(TWO))
    assert (again.checkpoint, session.asked) == (TWO, 1)


def test_proofs_are_asked_for_now_and_then_but_none_is_left_out(session: FakeSession, tmp_path: Path) -> None:
    one = watched(session, tmp_path, every_s=3600.0)
    one.saw(header(ONE))
    one.saw(header(TWO))
    assert one.checkpoint == TWO
    forged = Checkpoint("ledger.test", 3, bytes(32))
    one.saw(header(forged))
    assert (one.checkpoint, session.asked) == (TWO, 1)  # not due, so neither believed nor forgotten
    with pytest.raises(LedgerBroken, match=r"2 and 2 leaves"):
        one.saw(header(Checkpoint("ledger.test", 2, bytes(32))))


def test_a_wrong_proof_is_a_broken_ledger(session: FakeSession, tmp_path: Path) -> None:
    one = watched(session, tmp_path)
    one.saw(header(ONE))
    for proof in ([], [LEAVES[0]], [*LEAVES, *LEAVES], [b"short"]):
        session.proof = proof
        with pytest.raises(LedgerBroken) as caught:
            one.saw(header(TWO))
        assert caught.value.code == "ledger.inconsistent"
        assert one.checkpoint == ONE
    session.proof = [LEAVES[1]]
    one.saw(header(TWO))
    assert one.checkpoint == TWO


def test_a_gateway_that_gives_no_proof_is_borne_for_a_while(
    session: FakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = watched(session, tmp_path)
    one.saw(header(ONE))
    session.proof = Unavailable("gateway.unavailable")
    one.saw(header(TWO))
    assert one.checkpoint == ONE
    monkeypatch.setattr(watching, "UNPROVED_S_MAX", -1.0)
    with pytest.raises(LedgerBroken) as caught:
        one.saw(header(TWO))
    assert caught.value.code == "ledger.unproved"
    session.proof = [LEAVES[1]]
    one.saw(header(TWO))
    assert one.checkpoint == TWO


def test_a_gateway_that_is_behind_is_no_fork_but_one_that_lies_is(session: FakeSession, tmp_path: Path) -> None:
    one = watched(session, tmp_path)
    one.saw(header(TWO))
    session.proof = GatewayRefused("ledger.size", "", 422, [])
    one.saw(header(ONE))
    assert one.checkpoint == TWO
    with pytest.raises(Unavailable, match=r"ledger\.behind"):
        one.take(ONE.sign(KEY).encode(), now=True)
    session.proof = [LEAVES[1]]
    with pytest.raises(LedgerBroken, match="1 and 2 leaves"):
        one.saw(header(Checkpoint("ledger.test", 1, bytes(32))))


def test_only_the_ledgers_key_counts_and_it_stays_the_same(session: FakeSession, tmp_path: Path) -> None:
    one = watched(session, tmp_path)
    for shown in (header(ONE, NoteKey.generate("ledger.test")), "AAAA", "no base64!"):
        with pytest.raises(LedgerBroken) as caught:
            one.saw(shown)
        assert caught.value.code == "ledger.not_its_key"
        assert caught.value.evidence.is_file()
    one.saw("")
    other = NoteKey.generate("ledger.test").verifier
    with pytest.raises(Misconfigured):
        Watching(cast(Session, session), tmp_path, str(other), 0.0, lambda: 0).saw(header(ONE))
