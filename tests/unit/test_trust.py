"""Trust: whom a certificate speaks for at a given time, and every reason why it doesn't."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issuer, Revoked, build, build_crl, new_key, subject
from exchange.signatures import Trust, TrustCache, certificates
from exchange.signatures.bounded import Bounded
from tests.support.signing import LEADER, NOW_MS, OTHER, SENDER, World


@pytest.fixture
def world() -> World:
    return World()


def refusal(world: World, fingerprint: bytes, at_ms: int = NOW_MS) -> str:
    with pytest.raises((Rejected, Unavailable)) as caught:
        world.trust.signer(fingerprint, at_ms)
    return f"{type(caught.value).__name__} {caught.value.code}"


class TestSigners:
    def test_seal(self, world: World) -> None:
        signer = world.trust.signer(world.seal.fingerprint, NOW_MS)
        assert (signer.agency, signer.role, signer.leader) == (SENDER, "seal", None)
        assert signer.public_key == world.seal.private_key.public_key()
        assert world.trust.signer(world.seal.fingerprint, NOW_MS) is signer

    def test_leader(self, world: World) -> None:
        signer = world.trust.signer(world.leader.fingerprint, NOW_MS)
        assert (signer.agency, signer.role, signer.leader) == (SENDER, "leader", LEADER)

    def test_backbone(self, world: World) -> None:
        backbone = world.authority.backbone
        world.list_certificate(backbone.certificate, "backbone", "G00.AXIS")
        assert world.renew().signer(backbone.fingerprint, NOW_MS).role == "backbone"

    def test_unlisted(self, world: World) -> None:
        issued = world.authority.issue(SENDER, "not listed")
        assert refusal(world, issued.fingerprint) == "Rejected certificate.unknown"

    def test_malformed(self, world: World) -> None:
        world.list_certificate(b"junk", "seal", SENDER)
        assert refusal(world, sha256(b"junk").digest()) == "Rejected certificate.malformed"

    def test_of_the_present_view_only(self, world: World) -> None:
        before = world.trust
        del world.view.certificates[world.seal.fingerprint]
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Rejected certificate.unknown"
        assert before.cache is world.trust.cache


class TestUsage:
    def test_encipherment_only(self, world: World) -> None:
        issued = world.issue(SENDER, usage="encrypt")
        assert refusal(world, issued.fingerprint) == "Rejected certificate.wrong_usage"

    def test_authority_does_not_sign_statements(self, world: World) -> None:
        fingerprint = world.authority.issuing.fingerprint
        assert refusal(world, fingerprint) == "Rejected certificate.wrong_usage"
        for usage in ("certify", "everything"):
            issued = world.issue(SENDER, usage=usage)
            assert refusal(world, issued.fingerprint) == "Rejected certificate.wrong_usage"

    def test_seal_listed_as_authority(self, world: World) -> None:
        issued = world.issue(SENDER, role="authority")
        assert refusal(world, issued.fingerprint) == "Rejected certificate.wrong_usage"


class TestSubject:
    def test_listed_under_another_agency(self, world: World) -> None:
        issued = world.issue(SENDER, listed=OTHER)
        assert refusal(world, issued.fingerprint) == "Rejected certificate.subject_mismatch"

    def test_listed_for_another_leader(self, world: World) -> None:
        world.list_certificate(world.leader.certificate, "leader", SENDER, "somebody else")
        assert refusal(world, world.leader.fingerprint) == "Rejected certificate.subject_mismatch"

    def test_leader_listed_as_seal(self, world: World) -> None:
        world.list_certificate(world.leader.certificate, "seal", SENDER)
        world.renew()
        assert refusal(world, world.leader.fingerprint) == "Rejected certificate.subject_mismatch"

    def test_another_spelling_of_the_code(self, world: World) -> None:
        issued = world.issue("000.00.02.H37", listed=SENDER)
        assert refusal(world, issued.fingerprint) == "Rejected certificate.subject_mismatch"
        agency = world.view.agencies[SENDER]
        world.view.agencies[SENDER] = replace(agency, other_codes=("000.00.02.H37",))
        assert world.renew().signer(issued.fingerprint, NOW_MS).agency == SENDER

    def test_subject_without_a_code(self, world: World) -> None:
        key = new_key("p256")
        by = Issuer(subject("Exchange Demo Issuing"), world.authority.issuing.private_key)
        der = build(by, subject("nobody"), key.public_key(), (NOW_MS - 1, NOW_MS + DAY_MS))
        world.list_certificate(der, "seal", SENDER)
        assert refusal(world, sha256(der).digest()) == "Rejected certificate.subject_mismatch"


class TestValidity:
    FIRST, LAST = NOW_MS - 5000, NOW_MS + 5999

    @pytest.fixture
    def fingerprint(self, world: World) -> bytes:
        return world.issue(SENDER, validity_ms=(self.FIRST, self.LAST)).fingerprint

    @pytest.mark.parametrize("at_ms", [FIRST, NOW_MS, LAST])
    def test_both_ends_are_within(self, world: World, fingerprint: bytes, at_ms: int) -> None:
        assert world.trust.signer(fingerprint, at_ms).agency == SENDER

    @pytest.mark.parametrize(
        ("at_ms", "code"),
        [(FIRST - 1, "Rejected certificate.not_yet_valid"), (LAST + 1, "Rejected certificate.expired")],
    )
    def test_outside(self, world: World, fingerprint: bytes, at_ms: int, code: str) -> None:
        assert refusal(world, fingerprint, at_ms) == code
        world.trust.signer(fingerprint, NOW_MS)
        assert refusal(world, fingerprint, at_ms) == code

    def test_of_the_issuing_authority(self, world: World) -> None:
        years = 40 * 365 * DAY_MS
        issued = world.issue(SENDER, validity_ms=(NOW_MS - years, NOW_MS + years))
        world.publish_crl(next_update_ms=NOW_MS + years)
        world.renew()
        assert world.trust.signer(issued.fingerprint, NOW_MS).agency == SENDER
        assert refusal(world, issued.fingerprint, NOW_MS - 2 * DAY_MS) == "Rejected certificate.not_yet_valid"
        assert refusal(world, issued.fingerprint, NOW_MS + years // 2) == "Rejected certificate.expired"


class TestIssuers:
    def test_of_another_root(self, world: World) -> None:
        stranger = Authority.generate(Path("never-written"), now_ms=NOW_MS)
        issued = stranger.issue(SENDER, "forged", not_before_ms=NOW_MS, not_after_ms=NOW_MS + DAY_MS)
        world.list_certificate(issued.certificate, "seal", SENDER)
        assert refusal(world, issued.fingerprint) == "Rejected certificate.unknown_issuer"
        # Not even with its issuing authority, of the same name as ours, listed: its root isn't trusted.
        for der in (stranger.issuing_certificate, stranger.root_certificate):
            world.list_certificate(der, "authority", "G00.REGISTRY")
            world.renew()
            assert refusal(world, issued.fingerprint) == "Rejected certificate.unknown_issuer"
        world.trust = Trust(world.view, [stranger.root_certificate, world.authority.root_certificate])
        assert refusal(world, issued.fingerprint) == "Unavailable crl.stale"

    def test_issuing_authority_not_listed(self, world: World) -> None:
        assert world.trust.signer(world.seal.fingerprint, NOW_MS)
        del world.view.certificates[world.authority.issuing.fingerprint]
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Rejected certificate.unknown_issuer"

    def test_issuing_authority_listed_as_something_else(self, world: World) -> None:
        world.list_certificate(world.authority.issuing_certificate, "seal", SENDER)
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Rejected certificate.unknown_issuer"

    def test_a_seal_does_not_issue(self, world: World) -> None:
        named = subject("of H37.02", SENDER)
        by = Issuer(named, world.seal.private_key)
        der = build(by, subject("x", OTHER), new_key("p256").public_key(), (NOW_MS - 1, NOW_MS + DAY_MS))
        world.list_certificate(world.seal.certificate, "authority", SENDER)
        world.list_certificate(der, "seal", OTHER)
        world.renew()
        assert refusal(world, sha256(der).digest()) == "Rejected certificate.unknown_issuer"

    def test_path_length(self, world: World) -> None:
        """The issuing authority may not make further authorities: its path length is 0."""
        der, issued = self._below_issuing(world)
        world.list_certificate(der, "authority", "G00.REGISTRY")
        world.list_certificate(issued, "seal", SENDER)
        world.renew()
        assert refusal(world, sha256(issued).digest()) == "Rejected certificate.unknown_issuer"
        # The same path is good where the root itself is the one that is not bounded so.
        world.trust = Trust(world.view, [der])
        assert refusal(world, sha256(issued).digest()) == "Unavailable crl.stale"

    @staticmethod
    def _below_issuing(world: World) -> tuple[bytes, bytes]:
        key, validity = new_key("p256"), (NOW_MS - 1000, NOW_MS + DAY_MS)
        by = Issuer(subject("Exchange Demo Issuing"), world.authority.issuing.private_key)
        der = build(by, subject("Third"), key.public_key(), validity, "certify", 0)
        third = Issuer(subject("Third"), key)
        return der, build(third, subject("x", SENDER), new_key("p256").public_key(), validity)

    def test_links_are_verified_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []
        is_issued_by = certificates.is_issued_by

        def counted(child: certificates.Certificate, issuer: certificates.Certificate) -> bool:
            asked.append(child)
            return is_issued_by(child, issuer)

        monkeypatch.setattr("exchange.signatures.trust.is_issued_by", counted)
        for _ in range(3):
            world.renew().signer(world.seal.fingerprint, NOW_MS)
        assert len(asked) == 2  # the seal's and the issuing authority's

    def test_broken_authority_harms_nobody_else(self, world: World) -> None:
        world.list_certificate(b"junk", "authority", "G00.REGISTRY")
        assert world.renew().signer(world.seal.fingerprint, NOW_MS).agency == SENDER

    @pytest.mark.parametrize("which", ["junk", "seal"])
    def test_root_must_be_an_authority(self, world: World, which: str) -> None:
        with pytest.raises(Misconfigured) as caught:
            Trust(world.view, [b"junk" if which == "junk" else world.seal.certificate])
        assert len(caught.value.problems) == 1


class TestRevocation:
    def test_from_its_date_on(self, world: World) -> None:
        world.revoke(world.seal, NOW_MS)
        assert refusal(world, world.seal.fingerprint, NOW_MS) == "Rejected certificate.revoked"
        assert refusal(world, world.seal.fingerprint, NOW_MS + DAY_MS) == "Rejected certificate.revoked"
        assert world.trust.signer(world.seal.fingerprint, NOW_MS - 1).agency == SENDER
        assert world.trust.signer(world.other_seal.fingerprint, NOW_MS).agency == OTHER

    def test_known_earlier_than_the_list_is_stale(self, world: World) -> None:
        world.publish_crl(next_update_ms=NOW_MS - 1000)
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Unavailable crl.stale"
        world.publish_crl()
        world.renew()
        world.revoke(world.seal, NOW_MS - DAY_MS)
        world.publish_crl(next_update_ms=NOW_MS - 1000)
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Rejected certificate.revoked"
        assert refusal(world, world.other_seal.fingerprint) == "Unavailable crl.stale"

    def test_stale_after_next_update(self, world: World) -> None:
        next_update_ms = NOW_MS + 30 * DAY_MS
        assert world.trust.signer(world.seal.fingerprint, next_update_ms).agency == SENDER
        assert refusal(world, world.seal.fingerprint, next_update_ms + 1) == "Unavailable crl.stale"

    def test_missing_list(self, world: World) -> None:
        world.view.lists.clear()
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Unavailable crl.stale"

    def test_list_signed_by_another(self, world: World) -> None:
        world.publish_crl(issuer=Issuer(subject("Exchange Demo Issuing"), new_key("p256")))
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Unavailable crl.invalid"

    def test_list_of_another(self, world: World) -> None:
        world.publish_crl(issuer=Issuer(subject("Another"), world.authority.issuing.private_key))
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Unavailable crl.invalid"

    def test_list_that_is_junk(self, world: World) -> None:
        key = world.authority.issuing.fingerprint.hex()
        world.view.lists[key] = replace(world.view.lists[key], crl=b"junk")
        world.renew()
        assert refusal(world, world.seal.fingerprint) == "Unavailable crl.invalid"

    def test_of_the_issuing_authority_by_the_root(self, world: World) -> None:
        authority = world.authority
        serial = certificates.parse(authority.issuing_certificate).serial
        by_root = Issuer(subject("Exchange Demo Root"), authority.root.private_key)
        revoked = [Revoked(serial, NOW_MS, None, "cACompromise")]
        key = authority.root.fingerprint.hex()
        crl = build_crl(by_root, revoked, NOW_MS, NOW_MS + 365 * DAY_MS)
        world.view.lists[key] = replace(next(iter(world.view.lists.values())), issuer=key, crl=crl)
        world.renew()
        assert world.trust.signer(world.seal.fingerprint, NOW_MS - 1).agency == SENDER
        assert refusal(world, world.seal.fingerprint) == "Rejected certificate.revoked"

    def test_compromised_since(self, world: World) -> None:
        assert world.trust.compromised(world.seal.fingerprint) is None
        world.revoke(world.seal, NOW_MS, invalidity_ms=NOW_MS - 7 * DAY_MS)
        world.trust.signer(world.leader.fingerprint, NOW_MS)
        world.revoke(world.leader, NOW_MS)
        assert world.trust.compromised(world.seal.fingerprint) == NOW_MS - 7 * DAY_MS
        assert world.trust.compromised(world.leader.fingerprint) is None
        with pytest.raises(Rejected, match=r"certificate\.unknown"):
            world.trust.compromised(bytes(32))


class TestLeaders:
    def test_listed(self, world: World) -> None:
        world.trust.require_listed(LEADER, SENDER, NOW_MS)

    @pytest.mark.parametrize(
        ("leader", "agency"), [(None, SENDER), ("", SENDER), ("H37.02-L9", SENDER), (LEADER, OTHER)]
    )
    def test_not_listed(self, world: World, leader: str | None, agency: str) -> None:
        with pytest.raises(Rejected, match=r"signature\.leader_not_listed"):
            world.trust.require_listed(leader, agency, NOW_MS)

    def test_not_yet_listed(self, world: World) -> None:
        for first, is_listed in ((date(2026, 1, 1), True), (date(2026, 1, 2), False)):
            world.view.leaders[LEADER] = replace(world.view.leaders[LEADER], valid_from=first)
            with contextlib.nullcontext() if is_listed else pytest.raises(Rejected):
                world.trust.require_listed(LEADER, SENDER, NOW_MS)

    @pytest.mark.parametrize(("hour", "is_listed"), [(16, True), (17, False)])
    def test_the_day_is_vietnams(self, world: World, hour: int, *, is_listed: bool) -> None:
        """The last day, 2026-01-01, ends at 17:00 UTC."""
        world.view.leaders[LEADER] = replace(world.view.leaders[LEADER], valid_to=date(2026, 1, 1))
        at_ms = NOW_MS + hour * 3_600_000
        if is_listed:
            world.trust.require_listed(LEADER, SENDER, at_ms)
            return
        with pytest.raises(Rejected, match=r"signature\.leader_not_listed"):
            world.trust.require_listed(LEADER, SENDER, at_ms)


class TestBounded:
    def test_the_one_not_used_goes(self) -> None:
        memory: Bounded[int, str] = Bounded(2)
        memory.put(1, "one")
        memory.put(2, "two")
        assert memory.get(1) == "one"
        memory.put(3, "three")
        assert [memory.get(n) for n in (1, 2, 3)] == ["one", None, "three"]
        assert len(memory) == 2

    def test_cache_is_optional(self, world: World) -> None:
        trust = Trust(world.view, [world.authority.root_certificate])
        assert isinstance(trust.cache, TrustCache)
        assert trust.signer(world.seal.fingerprint, NOW_MS).agency == SENDER


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    assert not Path("never-written").exists()
