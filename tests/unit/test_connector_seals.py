"""Signed by a leader, sealed by the agency, sealed by its connector: told apart wherever a signature is shown."""

from __future__ import annotations

from hashlib import sha256
from io import StringIO
from pathlib import Path as Folder

import pytest
from rich.console import Console

from exchange.cli.tracing import drawn
from exchange.errors import Rejected
from exchange.ledger.evidence.verifying import verify
from exchange.local.authority import Authority
from exchange.local.founding import listed
from exchange.signatures import admit, decode_record
from exchange.views.signed import with_leaders, with_roles
from exchange.views.trace_path import Document, Entry, Path
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
def test_evidence_tells_them_apart(tmp_path: Folder, connector: bool, leader: bool, said: str) -> None:
    made = make(tmp_path, connector=connector, leader=leader, filler=10)
    verdict = verify(made.file, made.anchors, NOW_MS)
    assert verdict.holds, verdict.steps
    [note] = [step.note for step in verdict.steps if step.name == "signature"]
    assert note == said


def path_of(digest: bytes, certificate: bytes) -> Path:
    """The path of a document that was accepted with these."""
    entry = Entry(
        "documents", 0, 1, NOW_MS, "accepted", "", "document", SENDER, True, "1", "", digest.hex(), -1, 0, 0, 0, NOW_MS,
        "w", certificate.hex(),
    )  # fmt: skip
    return Path("1", SENDER, "", Document(entry, None, ()), (), (), (), (), (), True)


def test_the_trace_tells_them_apart(world: World) -> None:
    connector = world.issue(SENDER, connector=True)
    record = world.record([world.leader.signing_key, connector.signing_key], **{"signer": _led(world)})
    digest = sha256(decode_record(record)["statement"]).digest()
    path = with_roles(path_of(digest, connector.fingerprint), world.view)
    assert path.roles == {connector.fingerprint.hex(): "connector"}
    assert with_roles(path_of(digest, world.seal.fingerprint), world.view).roles == {
        world.seal.fingerprint.hex(): "seal"
    }
    assert with_leaders(path, world.view, record).leaders == (LEADER,)
    seen = StringIO()
    Console(file=seen, width=200).print(drawn(with_leaders(path, world.view, record)))
    assert f"submitted, sealed by a connector of {SENDER}, signed by leader {LEADER}" in seen.getvalue()
    for other in (None, b"junk", world.record([world.leader.signing_key, world.seal.signing_key], id="other")):
        assert with_leaders(path, world.view, other).leaders == (), "another record is nobody's signature on this one"


def _led(world: World) -> dict[str, object]:
    signer: dict[str, object] = world.document()["signer"] | {"leader": LEADER}
    return signer


def test_the_demo_authority_keeps_them_apart(tmp_path: Folder) -> None:
    authority = Authority.create(tmp_path)
    seal, connector = authority.issue("H26", "Hà Nội"), authority.issue("H26", "Hà Nội", connector=True)
    authority.save(seal, connector)
    assert {path.name for path in (tmp_path / "agencies" / "H26").glob("*.crt.pem")} == {
        "seal.crt.pem", "connector.crt.pem",
    }  # fmt: skip
    found = [(one.fingerprint, one.leader, one.is_connector) for one in authority.issued("H26")]
    assert found == [(seal.fingerprint, None, False), (connector.fingerprint, None, True)]
    assert [entry.role for entry in listed([seal, connector])] == ["seal", "connector"]  # type: ignore[union-attr]
