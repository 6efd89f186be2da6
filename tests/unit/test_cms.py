"""CMS: what the real ``openssl`` makes is accepted, what we export it verifies, and nothing else passes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from asn1crypto import algos, cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from exchange.errors import Rejected
from exchange.local.issuing import Issued, KeyKind
from exchange.signatures import admit, decode_record, sign_batch, wrap_cms
from exchange.signatures.algorithms import sign
from exchange.signatures.certificates import parse
from exchange.signatures.cms import check_cms, export
from tests.support.signing import NOW_MS, SENDER, World

CONTENT = b"\xc3\x01 statement\nbytes \x00 kept as they are\r\n"
KEYS: list[KeyKind] = ["p256", "rsa2048"]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)


def pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def token(tmp_path: Path) -> Callable[..., bytes]:
    """Sign with the real openssl, as a token's middleware does."""

    def make(issued: Issued, content: bytes = CONTENT, *options: str) -> bytes:
        key = issued.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / "key.pem").write_bytes(key)
        (tmp_path / "crt.pem").write_bytes(pem(issued.certificate))
        (tmp_path / "content").write_bytes(content)
        done = openssl(
            "cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", "-in", tmp_path / "content",
            "-signer", tmp_path / "crt.pem", "-inkey", tmp_path / "key.pem", "-out", tmp_path / "cms", *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return (tmp_path / "cms").read_bytes()

    return make


def code_of(issued: Issued, detached: bytes, content: bytes = CONTENT) -> str:
    with pytest.raises(Rejected) as caught:
        check_cms(parse(issued.certificate), detached, content)
    return caught.value.code


def altered(detached: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """A CMS whose SignedData and SignerInfo were changed."""
    content = cms.ContentInfo.load(detached)
    signed_data = content["content"]
    change(signed_data, signed_data["signer_infos"][0])
    return cast(bytes, content.dump(force=True))


class TestFromTokens:
    @pytest.mark.parametrize("kind", KEYS)
    @pytest.mark.parametrize("options", [(), ("-nocerts",), ("-nosmimecap",)])
    def test_accepted(self, world: World, token: Callable[..., bytes], kind: KeyKind, options: tuple[str, ...]) -> None:
        issued = world.issue(SENDER, key=kind)
        check_cms(parse(issued.certificate), token(issued, CONTENT, *options), CONTENT)

    def test_pss(self, world: World, token: Callable[..., bytes]) -> None:
        issued = world.issue(SENDER, key="rsa2048")
        pss = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32")
        check_cms(parse(issued.certificate), token(issued, CONTENT, *pss), CONTENT)
        odd = token(issued, CONTENT, *pss[:2], "-keyopt", "rsa_pss_saltlen:20")
        assert code_of(issued, odd) == "cms.algorithm"

    @pytest.mark.parametrize("kind", KEYS)
    def test_through_the_gate(self, world: World, token: Callable[..., bytes], kind: KeyKind) -> None:
        issued = world.issue(SENDER, key=kind)
        raw = world.raw()
        record = wrap_cms(raw, token(issued, raw), issued.certificate)
        assert admit(record, NOW_MS, world.trust).seal.agency == SENDER
        other = wrap_cms(world.raw(id="other"), token(issued, raw), issued.certificate)
        with pytest.raises(Rejected, match=r"cms\.other_content"):
            admit(other, NOW_MS, world.trust)


class TestRefused:
    def test_other_content(self, world: World, token: Callable[..., bytes]) -> None:
        detached = token(world.seal)
        check_cms(parse(world.seal.certificate), detached, CONTENT)
        assert code_of(world.seal, detached, CONTENT + b"!") == "cms.other_content"

    def test_other_certificate(self, world: World, token: Callable[..., bytes]) -> None:
        assert code_of(world.other_seal, token(world.seal)) == "cms.other_certificate"
        assert code_of(world.seal, token(world.seal, CONTENT, "-keyid")) == "cms.other_certificate"

    def test_same_serial_of_another_issuer(self, world: World, token: Callable[..., bytes]) -> None:
        def rename(_: Any, info: Any) -> None:  # noqa: ANN401
            info["sid"].chosen["issuer"] = asn1_x509.Name.build({"common_name": "Another"})

        assert code_of(world.seal, altered(token(world.seal), rename)) == "cms.other_certificate"

    def test_attached(self, world: World, token: Callable[..., bytes]) -> None:
        assert code_of(world.seal, token(world.seal, CONTENT, "-nodetach")) == "cms.not_detached"

    def test_without_signed_attributes(self, world: World, token: Callable[..., bytes]) -> None:
        assert code_of(world.seal, token(world.seal, CONTENT, "-noattr")) == "cms.attributes"

    @pytest.mark.parametrize("kind", KEYS)
    @pytest.mark.parametrize("digest", ["sha1", "sha384", "sha512"])
    def test_other_digest(self, world: World, token: Callable[..., bytes], kind: KeyKind, digest: str) -> None:
        issued = world.issue(SENDER, key=kind)
        assert code_of(issued, token(issued, CONTENT, "-md", digest)) == "cms.algorithm"

    def test_two_signers(self, world: World, token: Callable[..., bytes]) -> None:
        def twice(signed_data: Any, info: Any) -> None:  # noqa: ANN401
            signed_data["signer_infos"].append(info.copy())

        def none(signed_data: Any, _: Any) -> None:  # noqa: ANN401
            signed_data["signer_infos"] = []

        for change in (twice, none):
            assert code_of(world.seal, altered(token(world.seal), change)) == "cms.signers"

    def test_altered_attributes(self, world: World, token: Callable[..., bytes]) -> None:
        def drop(name: str) -> Callable[[Any, Any], None]:
            def change(_: Any, info: Any) -> None:  # noqa: ANN401
                info["signed_attrs"] = [one for one in info["signed_attrs"] if one["type"].native != name]

            return change

        def double(_: Any, info: Any) -> None:  # noqa: ANN401
            info["signed_attrs"] = [*info["signed_attrs"], *list(info["signed_attrs"])[:1]]

        def retype(_: Any, info: Any) -> None:  # noqa: ANN401
            changed = []
            for one in info["signed_attrs"]:
                values = ["signed_data"] if one["type"].native == "content_type" else one["values"]
                changed.append(cms.CMSAttribute({"type": one["type"].native, "values": values}))
            info["signed_attrs"] = changed

        detached = token(world.seal)
        for change in (drop("content_type"), drop("message_digest"), double, retype):
            assert code_of(world.seal, altered(detached, change)) == "cms.attributes"
        assert code_of(world.seal, altered(detached, drop("signing_time"))) == "signature.invalid"

    def test_altered_algorithm(self, world: World, token: Callable[..., bytes]) -> None:
        def rsa(_: Any, info: Any) -> None:  # noqa: ANN401
            info["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa"})

        def sha1(_: Any, info: Any) -> None:  # noqa: ANN401
            info["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": "sha1_ecdsa"})

        assert code_of(world.seal, altered(token(world.seal), rsa)) == "signature.algorithm"
        assert code_of(world.seal, altered(token(world.seal), sha1)) == "cms.algorithm"

    def test_altered_signature(self, world: World, token: Callable[..., bytes]) -> None:
        def junk(_: Any, info: Any) -> None:  # noqa: ANN401
            info["signature"] = core.OctetString(b"junk")

        assert code_of(world.seal, altered(token(world.seal), junk)) == "signature.invalid"

    def test_too_large(self, world: World) -> None:
        assert code_of(world.seal, bytes(16 * 1024 + 1)) == "cms.too_large"

    def test_something_else(self, world: World, token: Callable[..., bytes]) -> None:
        data = cms.ContentInfo({"content_type": "data", "content": core.OctetString(b"x")}).dump()
        for junk in (b"", b"junk", b"\x30\x80", data, token(world.seal) + b"x", world.seal.certificate):
            assert code_of(world.seal, junk) == "cms.malformed"

    def test_signed_attributes_are_no_statement(self, world: World, token: Callable[..., bytes]) -> None:
        """Whoever has a CMS also has a plain signature over its attributes: it must not be of use."""
        info = cms.ContentInfo.load(token(world.seal))["content"]["signer_infos"][0]
        attributes = b"\x31" + info["signed_attrs"].dump()[1:]
        signature = info["signature"].native
        bare = export(attributes, signature, "ecdsa_p256_sha256", world.seal.certificate)
        assert code_of(world.seal, bare, attributes) == "cms.attributes"


class TestExport:
    @pytest.fixture
    def verify(self, world: World, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
        """Verify with the real openssl and nothing but the root."""

        def run(exported: bytes, content: bytes | None) -> subprocess.CompletedProcess[bytes]:
            (tmp_path / "cms").write_bytes(exported)
            (tmp_path / "root.pem").write_bytes(pem(world.authority.root_certificate))
            detached: tuple[str | Path, ...] = ()
            if content is not None:
                (tmp_path / "content").write_bytes(content)
                detached = ("-content", tmp_path / "content")
            return openssl(
                "cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "cms", *detached,
                "-CAfile", tmp_path / "root.pem", "-attime", str(NOW_MS // 1000),
            )  # fmt: skip

        return run

    def exported(self, world: World, kind: KeyKind, *, detached: bool) -> bytes:
        issued = world.issue(SENDER, key=kind)
        algorithm = issued.signing_key.algorithm
        signature = sign(issued.private_key, CONTENT, algorithm)
        chain = [world.authority.issuing_certificate]
        return export(CONTENT, signature, algorithm, issued.certificate, chain, detached=detached)

    @pytest.mark.parametrize("kind", KEYS)
    def test_detached(self, world: World, verify: Callable[..., Any], kind: KeyKind) -> None:
        exported = self.exported(world, kind, detached=True)
        info = cms.ContentInfo.load(exported)["content"]["signer_infos"][0]
        expected = {"p256": "sha256_ecdsa", "rsa2048": "sha256_rsa"}[kind]
        assert info["signature_algorithm"]["algorithm"].native == expected
        done = verify(exported, CONTENT)
        assert (done.returncode, done.stdout) == (0, CONTENT), done.stderr
        assert verify(exported, CONTENT + b"!").returncode != 0

    @pytest.mark.parametrize("kind", KEYS)
    def test_attached(self, world: World, verify: Callable[..., Any], kind: KeyKind) -> None:
        exported = self.exported(world, kind, detached=False)
        done = verify(exported, None)
        assert (done.returncode, done.stdout) == (0, CONTENT), done.stderr
        assert verify(exported.replace(b"statement", b"statemenT"), None).returncode != 0

    def test_of_a_batch_proves_the_root(self, world: World, verify: Callable[..., Any]) -> None:
        record = sign_batch([world.raw()], world.seal.signing_key, SENDER, NOW_MS)[0]
        assert admit(record, NOW_MS, world.trust).batch
        signature = decode_record(record)["signatures"][0]
        batch = signature["batch"]["statement"]
        chain = [world.authority.issuing_certificate]
        exported = export(batch, signature["value"], signature["algorithm"], world.seal.certificate, chain)
        assert verify(exported, batch).returncode == 0

    def test_other_algorithms(self, world: World) -> None:
        backbone = world.authority.backbone
        for algorithm in ("ed25519", "cms"):
            with pytest.raises(Rejected, match=r"cms\.algorithm"):
                export(CONTENT, b"x", algorithm, backbone.certificate)
