"""Signed by a leader, sealed by the agency, sealed by its connector: told apart wherever a signature is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.errors import Rejected
from exchange.ledger.evidence.verifying import verify
from exchange.local.authority import Authority
from exchange.local.founding import listed
from exchange.signatures import admit
from tests.support.evidence_world import make
from tests.support.signing import LEADER, NOW_MS, SENDER, World


@pytest.fixture
def world() -> World:
    return World()


def test_a_connector_seals_for_its_agency(world: World) -> None:
    connector = world.issue(SENDER, connector=True)
    verified = admit(world.record([connector.signing_key]), NOW_MS, world.renew())
    assert (verified.seal.agency, verified.seal.role) == (SENDER, "connector")
    assert admit(world.record(), NOW_MS, world.trust).seal.role == "seal"


def test_nor_does_it_pass_for_the_agency_itself(world: World) -> None:
    """What the directory lists and what the certificate says must agree, whichever was made up."""
    posing = world.issue(SENDER, connector=True, role="seal")
    made_one = world.issue(SENDER, role="connector")
    for issued in (posing, made_one):
        with pytest.raises(Rejected, match=r"certificate\.subject_mismatch"):
            admit(world.record([issued.signing_key]), NOW_MS, world.renew())


@pytest.mark.parametrize(
    ("connector", "leader", "said"),
    [
        (False, False, f"sealed by agency {SENDER}"),
        (True, False, f"sealed by a connector of {SENDER}"),
        (False, True, f"sealed by agency {SENDER}, signed by leader {LEADER}"),
        (True, True, f"sealed by a connector of {SENDER}, signed by leader {LEADER}"),
    ],
)
def test_evidence_tells_them_apart(tmp_path: Path, connector: bool, leader: bool, said: str) -> None:
    made = make(tmp_path, connector=connector, leader=leader, filler=10)
    verdict = verify(made.file, made.anchors, NOW_MS)
    assert verdict.holds, verdict.steps
    [note] = [step.note for step in verdict.steps if step.name == "signature"]
    assert note == said


def test_the_demo_authority_keeps_them_apart(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    seal, connector = authority.issue("H26", "Hà Nội"), authority.issue("H26", "Hà Nội", connector=True)
    authority.save(seal, connector)
    assert {path.name for path in (tmp_path / "agencies" / "H26").glob("*.crt.pem")} == {
        "seal.crt.pem", "connector.crt.pem",
    }  # fmt: skip
    found = [(one.fingerprint, one.leader, one.is_connector) for one in authority.issued("H26")]
    assert found == [(seal.fingerprint, None, False), (connector.fingerprint, None, True)]
    assert [entry.role for entry in listed([seal, connector])] == ["seal", "connector"]  # type: ignore[union-attr]
