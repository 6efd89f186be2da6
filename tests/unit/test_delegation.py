"""One agency signs for another, between two times and no longer; and everybody sees which of them it was."""

from __future__ import annotations

from hashlib import sha256
from io import StringIO
from pathlib import Path as Folder
from typing import cast

import pytest
from rich.console import Console

from exchange.agencies import DirectoryView
from exchange.auditor.deep.standing import Standings
from exchange.cli.tracing import drawn
from exchange.errors import ExchangeError
from exchange.gateway.examining import examine
from exchange.gateway.problems import Refused
from exchange.ledger.evidence.verifying import verify
from exchange.local.authority import DAY_MS, Authority
from exchange.local.founding import listed
from exchange.local.issuing import Issued
from exchange.signatures import admit, decode_record, sign_record
from exchange.statements.compose import encode, status
from exchange.views.signed import with_roles
from tests.support.evidence_world import make
from tests.support.signing import LEADER, NOW_MS, OTHER, SENDER, World
from tests.unit.test_connector_seals import path_of
from tests.unit.test_gateway_access import ask, made
from tests.unit.test_gateway_access import refusal as not_let_in

FROM_MS, UNTIL_MS = NOW_MS - DAY_MS, NOW_MS + DAY_MS


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def delegate(world: World) -> Issued:
    """`OTHER` signs for `SENDER`."""
    issued = world.issue(SENDER, delegate=OTHER, validity_ms=(FROM_MS, UNTIL_MS))
    world.renew()
    return issued


def refusal(world: World, record: bytes, at_ms: int = NOW_MS) -> str:
    with pytest.raises(ExchangeError) as refused:
        admit(record, at_ms, world.renew())
    return refused.value.code


def test_it_seals_for_whom_it_signs_for(world: World, delegate: Issued) -> None:
    seal = admit(world.record([delegate.signing_key]), NOW_MS, world.trust).seal
    assert (seal.agency, seal.role, seal.certificate.delegate) == (SENDER, "delegate", OTHER)


def test_not_before_and_not_after(world: World, delegate: Issued) -> None:
    """By the broker's time, as any certificate."""
    early = world.record([delegate.signing_key], signed_ms=FROM_MS - 1000)
    late = world.record([delegate.signing_key], signed_ms=UNTIL_MS + 1000)
    assert refusal(world, early, FROM_MS - 1) == "certificate.not_yet_valid"
    assert refusal(world, late, UNTIL_MS + 1000) == "certificate.expired"
    assert admit(late, UNTIL_MS + 999, world.trust).seal.role == "delegate"


def test_taken_back(world: World, delegate: Issued) -> None:
    world.revoke(delegate, NOW_MS)
    assert refusal(world, world.record([delegate.signing_key])) == "certificate.revoked"
    assert admit(world.record(), NOW_MS, world.trust).seal.role == "seal", "the agency's own stays as it is"


def test_for_nobody_else(world: World, delegate: Issued) -> None:
    """Nor in its holder's own name: that one has a seal of its own."""
    for sender in (OTHER, "H39"):
        record = world.record([delegate.signing_key], sender=sender)
        assert refusal(world, record) == "signature.not_the_senders"
    assert refusal(world, world.record([world.other_seal.signing_key])) == "signature.not_the_senders"


def test_a_leader_who_must_sign_must_sign_here_too(world: World, delegate: Issued) -> None:
    signer = world.document()["signer"] | {"leader": LEADER}
    assert refusal(world, world.record([delegate.signing_key], signer=signer)) == "signature.leader_missing"
    both = world.record([world.leader.signing_key, delegate.signing_key], signer=signer)
    assert admit(both, NOW_MS, world.trust).seal.role == "delegate"


def test_directory_and_certificate_must_agree(world: World) -> None:
    for issued in (
        world.issue(SENDER, delegate=OTHER, role="seal"),
        world.issue(SENDER, delegate=OTHER, role="connector"),
        world.issue(SENDER, role="delegate"),
        world.issue(SENDER, delegate="H99"),
        world.issue(SENDER, delegate=SENDER),
    ):
        assert refusal(world, world.record([issued.signing_key])) == "certificate.subject_mismatch"


def test_the_auditors_own_reading_agrees(world: World, delegate: Issued) -> None:
    standings = Standings([world.authority.root_certificate])
    view = cast(DirectoryView, world.view)
    found = standings.at(view, delegate.fingerprint, NOW_MS)
    assert (found.role, found.agency, found.certificate.delegate) == ("delegate", SENDER, OTHER)
    for changed in ({"delegate": OTHER, "role": "seal"}, {"role": "delegate"}, {"delegate": SENDER}):
        issued = world.issue(SENDER, **changed)  # type: ignore[arg-type]
        world.renew()
        with pytest.raises(ExchangeError, match=r"certificate\.wrong_usage"):
            standings.at(view, issued.fingerprint, NOW_MS)


class TestGateway:
    def test_its_holder_may_bring_what_it_sealed(self, world: World, delegate: Issued) -> None:
        [outgoing] = examine([world.record([delegate.signing_key])], OTHER, world.view)
        assert outgoing.fields["sender"] == SENDER

    @pytest.mark.parametrize("caller", ["H39", OTHER])
    def test_nobody_else_may(self, world: World, delegate: Issued, caller: str) -> None:
        """Whoever has a copy of the certificate's name; and its holder nothing that another key sealed."""
        record = world.record([delegate.signing_key if caller != OTHER else world.seal.signing_key])
        with pytest.raises(Refused, match=r"sender\.not_yours"):
            examine([record], caller, world.view)

    def test_nor_for_whom_it_has_no_leave(self, world: World, delegate: Issued) -> None:
        with pytest.raises(Refused, match=r"sender\.not_yours"):
            examine([world.record([delegate.signing_key], sender="H39")], OTHER, world.view)

    def test_it_opens_no_session(self, world: World, delegate: Issued) -> None:
        """A session reads the inbox, which nobody gave away."""
        assert ask(world, made(world.seal)).agency == SENDER
        assert not_let_in(world, made(delegate)) == "assertion.not_a_seal"
        assert not_let_in(world, made(delegate, iss=OTHER, sub=OTHER)) == "assertion.not_a_seal"


@pytest.mark.parametrize("leader", [False, True])
def test_evidence_says_who_it_was(tmp_path: Folder, leader: bool) -> None:
    evidence = make(tmp_path, delegate=OTHER, leader=leader, filler=10)
    verdict = verify(evidence.file, evidence.anchors, NOW_MS)
    assert verdict.holds, verdict.steps
    [note] = [step.note for step in verdict.steps if step.name == "signature"]
    assert note == f"sealed by {OTHER} for {SENDER}" + (f", signed by leader {LEADER}" if leader else "")


def test_the_trace_says_who_it_was(world: World, delegate: Issued) -> None:
    digest = sha256(decode_record(world.record([delegate.signing_key]))["statement"]).digest()
    path = with_roles(path_of(digest, delegate.fingerprint), world.view)
    seen = StringIO()
    Console(file=seen, width=200).print(drawn(path))
    assert f"submitted, sealed by {OTHER} for {SENDER}" in seen.getvalue()


def test_a_receipt_by_a_delegate(world: World, delegate: Issued) -> None:
    """What it may say, it may say of a copy too."""
    fields = status(
        SENDER, "s-1", world.document(sender=OTHER), 1, signed_ms=NOW_MS, document_append_ms=NOW_MS, thread="H38/1"
    )
    verified = admit(sign_record(encode("status", fields), [delegate.signing_key]), NOW_MS, world.trust)
    assert (verified.statement.kind.name, verified.seal.role) == ("status", "delegate")


def test_the_demo_authority_gives_the_key_to_its_holder(tmp_path: Folder) -> None:
    authority = Authority.create(tmp_path)
    issued = authority.issue("H26", "Hà Nội", delegate="H26.01")
    file = authority.save_delegation(issued)
    assert file == tmp_path / "agencies" / "H26.01" / "delegations" / "H26.crt.pem"
    assert authority.issued("H26") == authority.issued("H26.01") == []
    found = authority.delegation("H26", "H26.01")
    assert (found.fingerprint, found.agency, found.delegate) == (issued.fingerprint, "H26", "H26.01")
    assert [entry.role for entry in listed([found])] == ["delegate"]  # type: ignore[union-attr]
    with pytest.raises(ExchangeError, match="doesn't sign for"):
        authority.delegation("H26", "H40")
