"""Keys in a PKCS#11 token, with the real SoftHSM: they sign whatever the client signs, and do nothing else."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from connectors.edxml.limits import Limits
from connectors.edxml.packet import open_packet
from connectors.edxml.signing import load_certificate, verify
from connectors.edxml.signing import sign as sign_packet
from exchange.errors import Misconfigured
from exchange.local.authority import Authority
from exchange.local.issuing import Issued, KeyKind
from exchange.sdk.keys import JWS_ALGORITHMS, load
from exchange.signatures.algorithms import check
from tests.support.edxml import document
from tests.support.tokens import ABSENT, MODULE, PIN, Token

pytestmark = pytest.mark.skipif(MODULE is None, reason=ABSENT)


@pytest.fixture(scope="module")
def issued(token: Token, tmp_path_factory: pytest.TempPathFactory) -> dict[KeyKind, Issued]:
    authority = Authority.create(tmp_path_factory.mktemp("authority"))
    kinds: list[KeyKind] = ["p256", "rsa2048", "ed25519"]
    made = {kind: authority.issue("H26", "Hà Nội", key=kind) for kind in kinds}
    for kind in kinds[:2]:
        token.take(made[kind], kind)
    return made


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_it_signs_statements_assertions_and_packets(
    token: Token, issued: dict[KeyKind, Issued], kind: KeyKind, tmp_path: Path
) -> None:
    one = issued[kind]
    key = load(token.folder(f"signs-{kind}", one, kind))
    assert key.certificate == one.fingerprint
    public_key = one.private_key.public_key()
    check(public_key, key.algorithm, key.sign(b"statement"), b"statement")
    name = JWS_ALGORITHMS[key.algorithm]
    assertion = jwt.encode({"iss": "H26"}, key.private_key, name)
    assert jwt.decode(assertion, public_key, [name]) == {"iss": "H26"}
    source, signed = tmp_path / "packet.edxml", tmp_path / "signed.edxml"
    source.write_text(document(), "utf-8")
    certificate = load_certificate(token.place / f"signs-{kind}" / "seal.crt.pem")
    sign_packet(source, signed, key, certificate, Limits())
    found = verify(signed, open_packet(signed, tmp_path))
    assert found is not None
    assert found.fingerprint == one.fingerprint


def test_it_does_nothing_else(token: Token, issued: dict[KeyKind, Issued]) -> None:
    key = load(token.folder("nothing-else", issued["p256"], "p256")).private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with pytest.raises(TypeError, match="in a token"):
        key.private_numbers()
    with pytest.raises(TypeError, match="in a token"):
        key.exchange(ec.ECDH(), key.public_key())
    with pytest.raises(TypeError, match="only SHA-256"):
        key.sign(b"x", ec.ECDSA(hashes.SHA384()))
    rsa_key = load(token.folder("nothing-else-rsa", issued["rsa2048"], "rsa2048")).private_key
    with pytest.raises(TypeError, match=r"only PKCS#1"):
        rsa_key.sign(b"x", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())  # type: ignore[call-arg,arg-type]


def test_what_is_wrong_is_said_at_once(token: Token, issued: dict[KeyKind, Issued]) -> None:
    changes = {
        "no such key": ("seal.token.toml", 'key = "rsa2048"', 'key = "nobody"'),
        "no such token": ("seal.token.toml", 'token = "agency"', 'token = "other"'),
        "no such library": ("seal.token.toml", str(MODULE), "/nowhere/lib.so"),
        "no field": ("seal.token.toml", "pin_file", "pins"),
        "a wrong PIN": ("seal.pin", PIN, "0000"),
    }
    for name, (file, old, new) in changes.items():
        path = token.folder(name, issued["rsa2048"], "rsa2048") / file
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        with pytest.raises(Misconfigured) as caught:
            load(path.parent)
        assert PIN not in str(caught.value)
    with pytest.raises(Misconfigured, match="isn't that of the certificate"):
        load(token.folder("anothers", issued["p256"], "rsa2048"))
    with pytest.raises(Misconfigured, match="P-256 or RSA"):
        load(token.folder("ed25519", issued["ed25519"], "p256"))
