"""The attachments in the deep audit: each read once and hashed; what is gone or altered is named with its statement."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest

from exchange.auditor import Balance
from exchange.errors import Rejected
from exchange.statements import Fields, compose
from tests.unit.audited_signed import SignedWorld, found
from tests.unit.audited_world import document

FILES = {sha256(data).digest(): data for data in (b"one" * 1000, b"two" * 5000, b"three")}
ONE, TWO, THREE = FILES


@pytest.fixture(scope="module")
def whole() -> SignedWorld:
    world = SignedWorld(found())
    world.send("document", with_files("d1", ONE, TWO))
    world.send("document", with_files("d2", TWO))
    world.send("document", with_files("refused", THREE) | {"secrecy": "mat"})
    world.hop()
    return world


def with_files(statement_id: str, *digests: bytes) -> Fields:
    named = [compose.attachment("a.pdf", "application/pdf", len(FILES[one]), one) for one in digests]
    return document("G01", statement_id, "H01") | {"attachments": named}


def audited(world: SignedWorld, kept: dict[bytes, bytes]) -> Balance:
    def fetch(statement: bytes, digest: bytes, size: int) -> Iterator[bytes]:
        assert (len(statement), size) == (32, len(FILES[digest]))
        if digest not in kept:
            raise Rejected("archive.missing", digest.hex())
        yield kept[digest][:1000]
        if kept[digest] == b"damaged":
            raise Rejected("attachment.differs", digest.hex())
        yield kept[digest][1000:]

    return world.audited(attachments=fetch)


def test_all_that_was_accepted_is_read_once(whole: SignedWorld) -> None:
    balance = audited(whole, FILES)
    assert balance.holds, balance.findings
    counts = balance.compared or {}
    assert (counts["attachments"], counts["attachment_bytes"]) == (2, 18_000)  # what was refused is nobody's
    assert "attachments" not in (whole.audited().compared or {})


@pytest.mark.parametrize("kept", [b"", b"damaged", FILES[TWO][:-1], FILES[TWO] + b"x", FILES[TWO][:-1] + b"x"])
def test_one_that_was_altered(whole: SignedWorld, kept: bytes) -> None:
    (finding,) = audited(whole, FILES | {TWO: kept}).findings
    assert (finding.code, finding.at, finding.id) == ("audit.altered_attachment", whole.at["d1"], "d1")
    assert TWO.hex() in finding.sentence


def test_one_that_is_gone(whole: SignedWorld) -> None:
    findings = audited(whole, {TWO: FILES[TWO]}).findings
    assert [(one.code, one.id) for one in findings] == [("audit.missing_attachment", "d1")]
