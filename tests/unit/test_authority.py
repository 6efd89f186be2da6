"""The demo authority: files that the real ``openssl`` reads and verifies, private keys kept private."""

from __future__ import annotations

import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.agencies import BACKBONE_CODE, REGISTRAR_CODE
from exchange.agencies.entries import RevocationList
from exchange.errors import Misconfigured, Rejected
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import KeyKind
from exchange.signatures import Trust
from tests.support.signing import FakeView, World

SENDER, LEADER = "H37.02", "H37.02-L1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "keys")


def openssl(*arguments: str | Path, given: bytes = b"") -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


def now_ms() -> int:
    return int(time.time() * 1000)


class TestFiles:
    def test_opened_again(self, authority: Authority) -> None:
        again = Authority.open(authority.folder)
        for name in ("root", "issuing", "backbone", "registrar"):
            assert getattr(again, name).certificate == getattr(authority, name).certificate
        assert again.storage_key == authority.storage_key
        assert len(again.storage_key) == 32
        assert again.registrar_key.algorithm == "ed25519"
        assert (again.backbone.agency, again.registrar.agency) == (BACKBONE_CODE, REGISTRAR_CODE)
        signed = again.registrar_key.sign(b"x")
        authority.registrar_public_key.verify(signed, b"x")  # type: ignore[call-arg]

    def test_private_keys_are_private(self, authority: Authority) -> None:
        authority.save(authority.issue(SENDER, "a name"))
        keys = [*authority.folder.rglob("*.key.pem"), authority.folder / "storage.key"]
        assert len(keys) == 6
        assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}

    def test_made_once(self, authority: Authority) -> None:
        assert Authority.exists(authority.folder)
        with pytest.raises(Misconfigured):
            Authority.create(authority.folder)

    def test_nothing_to_open(self, authority: Authority, tmp_path: Path) -> None:
        assert not Authority.exists(tmp_path)
        with pytest.raises(Misconfigured):
            Authority.open(tmp_path)
        (authority.folder / "issuing.key.pem").write_text("damaged")
        with pytest.raises(Misconfigured):
            Authority.open(authority.folder)

    def test_saved_by_agency(self, authority: Authority) -> None:
        seal, leader = authority.issue(SENDER, "x"), authority.issue(SENDER, "An", LEADER)
        authority.save(leader, seal)
        assert (authority.folder / "agencies" / SENDER / "seal.key.pem").is_file()
        found = authority.issued(SENDER)
        assert [(one.certificate, one.leader) for one in found] == [
            (seal.certificate, None),
            (leader.certificate, LEADER),
        ]
        assert authority.issued("H38") == []

    def test_a_later_one_replaces_it(self, authority: Authority) -> None:
        for _ in range(2):
            seal = authority.issue(SENDER, "x")
            authority.save(seal)
        assert [one.fingerprint for one in authority.issued(SENDER)] == [seal.fingerprint]

    @pytest.mark.parametrize("leader", ["../H38/seal", "seal", "", "a/b", ".hidden"])
    def test_an_id_does_not_lead_elsewhere(self, authority: Authority, leader: str) -> None:
        with pytest.raises(Misconfigured):
            authority.save(authority.issue(SENDER, "x", leader or " "))

    def test_a_code_does_not_lead_elsewhere(self, authority: Authority) -> None:
        with pytest.raises(Rejected, match=r"agency\.code_malformed"):
            authority.save(authority.issue("../x", "x"))


class TestOpenssl:
    @pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
    def test_verifies_the_chain(self, authority: Authority, key: KeyKind) -> None:
        authority.save(authority.issue(SENDER, "Ủy ban nhân dân", key=key))
        folder = authority.folder
        seal = folder / "agencies" / SENDER / "seal.crt.pem"
        root, issuing = folder / "root.crt.pem", folder / "issuing.crt.pem"
        said = openssl("verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing, seal)
        assert said.strip().endswith("OK"), said
        assert "error" in openssl("verify", "-CAfile", root, seal)
        subject = openssl("x509", "-in", seal, "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus_space,sname")
        assert f"organizationIdentifier={SENDER}" in subject.replace(" = ", "=")

    def test_rsa_authority(self, tmp_path: Path) -> None:
        authority = Authority.create(tmp_path, key="rsa2048")
        said = openssl("verify", "-CAfile", tmp_path / "root.crt.pem", "-untrusted", tmp_path / "issuing.crt.pem",
                       tmp_path / "registrar.crt.pem")  # fmt: skip
        assert said.strip().endswith("OK"), said
        assert authority.issuing.signing_key.algorithm == "rsa_pkcs1_sha256"

    def test_reads_the_list(self, authority: Authority) -> None:
        seal = authority.issue(SENDER, "x")
        authority.revoke(seal.certificate, now_ms(), now_ms() - DAY_MS, "keyCompromise")
        said = openssl(
            "crl", "-inform", "DER", "-noout", "-text", "-CAfile", authority.folder / "issuing.crt.pem",
            given=authority.crl(now_ms()),
        )  # fmt: skip
        assert "verify OK" in said
        assert "Key Compromise" in said
        assert "Invalidity Date" in said

    def test_verifies_against_the_list(self, authority: Authority, tmp_path: Path) -> None:
        good, bad = authority.issue(SENDER, "good"), authority.issue("H38", "bad")
        authority.save(good, bad)
        authority.revoke(bad.certificate, now_ms() - 1000)
        crl = tmp_path / "crl.pem"
        openssl("crl", "-inform", "DER", "-out", crl, given=authority.crl(now_ms()))
        folder = authority.folder
        for code, expected in ((SENDER, "OK"), ("H38", "certificate revoked")):
            said = openssl(
                "verify", "-crl_check", "-CRLfile", crl, "-CAfile", folder / "root.crt.pem",
                "-untrusted", folder / "issuing.crt.pem", folder / "agencies" / code / "seal.crt.pem",
            )  # fmt: skip
            assert expected in said


class TestRevocation:
    def test_said_again_replaces(self, authority: Authority) -> None:
        seal = authority.issue(SENDER, "x")
        authority.revoke(seal.certificate, 1000)
        authority.revoke(seal.certificate, 2000, 1500, "keyCompromise")
        entries = Authority.open(authority.folder).revoked()
        assert [(entry.at_ms, entry.invalidity_ms) for entry in entries] == [(2000, 1500)]

    def test_trust_reads_it(self, authority: Authority) -> None:
        """The directory as it is founded, with nothing but what this authority gives."""
        world = World()
        world.authority, world.view = authority, FakeView()
        seal = authority.issue(SENDER, "x")
        world.list_certificate(authority.issuing_certificate, "authority", REGISTRAR_CODE)
        world.list_certificate(seal.certificate, "seal", SENDER)
        issuer = sha256(authority.issuing_certificate).hexdigest()
        at_ms = now_ms()
        world.view.lists[issuer] = RevocationList(issuer, 1, authority.crl(at_ms))
        trust = Trust(world.view, [authority.root_certificate])
        assert trust.signer(seal.fingerprint, at_ms).agency == SENDER
        authority.revoke(seal.certificate, at_ms)
        world.view.lists[issuer] = RevocationList(issuer, 2, authority.crl(at_ms))
        with pytest.raises(Rejected, match=r"certificate\.revoked"):
            Trust(world.view, [authority.root_certificate]).signer(seal.fingerprint, at_ms)
