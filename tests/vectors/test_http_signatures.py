"""The examples of RFC 9421 and RFC 9530, against the library that signs our posts and the verifier of the tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from connectors.webhook.signing import LABEL, PUBLIC, Message, Signer, key_id_of, make_key
from exchange.errors import Misconfigured
from tests.support.http_signatures import verify

ED25519_PRIVATE = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
ED25519_PUBLIC = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
P256_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
"""
B26 = {
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-length": "18",
    "signature-input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"',
    "signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
}
B24 = {
    "content-type": "application/json",
    "content-digest": "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgf"
    "LQ==:",
    "content-length": "23",
    "signature-input": 'sig-b24=("@status" "content-type" "content-digest" "content-length")'
    ';created=1618884473;keyid="test-key-ecc-p256"',
    "signature": "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
}


def ed25519_key() -> ed25519.Ed25519PrivateKey:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(ED25519_PRIVATE)
    assert key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == ED25519_PUBLIC
    return key


class Known(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id: str) -> ed25519.Ed25519PrivateKey:
        assert key_id == "test-key-ed25519"
        return ed25519_key()

    def resolve_public_key(self, key_id: str) -> bytes:
        raise KeyError(key_id)


def test_b26_is_signed_as_published() -> None:
    message = Message("POST", "https://example.com/foo?param=Value&Pet=dog")
    message.headers |= {
        "Host": "example.com",
        **{name: B26[name] for name in ("date", "content-type", "content-length")},
    }
    HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Known()).sign(
        message, key_id="test-key-ed25519", created=datetime.fromtimestamp(1618884473, UTC), label="sig-b26",
        include_alg=False, append_if_signature_exists=False,
        covered_component_ids=("date", "@method", "@path", "@authority", "content-type", "content-length"),
    )  # fmt: skip
    signed = {name.lower(): value for name, value in message.headers.items()}
    assert signed["signature-input"] == B26["signature-input"]
    assert signed["signature"] == B26["signature"]


def test_the_tests_verifier_takes_what_was_published_and_nothing_else() -> None:
    url = "https://example.com/foo"
    verify(ed25519_key().public_key(), "sig-b26", B26, method="POST", url=url)
    p256 = load_pem_public_key(P256_PUBLIC)
    assert isinstance(p256, ec.EllipticCurvePublicKey)
    verify(p256, "sig-b24", B24, status=200)
    with pytest.raises(InvalidSignature):
        verify(p256, "sig-b24", B24, status=201)
    with pytest.raises(InvalidSignature):
        verify(ed25519_key().public_key(), "sig-b26", B26 | {"content-length": "19"}, method="POST", url=url)


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_our_posts_verify_by_hand(tmp_path: Path, kind: str) -> None:
    key = ed25519_key() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = Signer(path)
    body = b'{"hello": "world"}'
    message = Message("POST", "https://example.com/hook?to=H26", {
        "content-type": "application/json", "content-length": "18", "idempotency-key": '"a-1"'
    })  # fmt: skip
    headers = signer.sign(message, sha256(body).digest(), 1618884473.9)
    assert headers["content-digest"] == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", "RFC 9530 §B.1"
    covered = verify(key.public_key(), LABEL, headers, method="POST", url=message.url)
    assert set(covered) == {
        "@method", "@target-uri", "content-type", "content-length", "content-digest", "idempotency-key"
    }  # fmt: skip
    assert 'created=1618884473;keyid="' in headers["signature-input"].replace(" ", "")
    assert 'tag="exchange-webhook"' in headers["signature-input"]
    for name in ("content-digest", "idempotency-key", "content-type"):
        with pytest.raises(InvalidSignature):
            verify(key.public_key(), LABEL, headers | {name: "other"}, method="POST", url=message.url)
    with pytest.raises(InvalidSignature):
        verify(key.public_key(), LABEL, headers, method="POST", url="https://example.com/other")


def test_a_key_of_its_own(tmp_path: Path) -> None:
    public = make_key(tmp_path)
    assert public.name == PUBLIC
    key = load_pem_public_key(public.read_bytes())
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert Signer(tmp_path / "webhook.key.pem").key_id == key_id_of(der)
    assert (tmp_path / "webhook.key.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Misconfigured, match="there already"):
        make_key(tmp_path)
    (tmp_path / "webhook.key.pem").write_bytes(
        ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(Misconfigured, match="neither"):
        Signer(tmp_path / "webhook.key.pem")
