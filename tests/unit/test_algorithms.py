"""Signature algorithms: each signs and verifies with its key, and with no other."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from exchange.errors import Rejected
from exchange.local.issuing import KeyKind, new_key
from exchange.signatures.algorithms import PrivateKey, check, natural, sign

MESSAGE = b"\xc3\x01 a statement"
FITS: list[tuple[str, KeyKind]] = [
    ("ecdsa_p256_sha256", "p256"),
    ("rsa_pkcs1_sha256", "rsa2048"),
    ("rsa_pss_sha256", "rsa2048"),
    ("ed25519", "ed25519"),
]


@cache
def key(kind: KeyKind) -> PrivateKey:
    return new_key(kind)


def code_of(public: object, algorithm: str, signature: bytes, message: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        check(public, algorithm, signature, message)  # type: ignore[arg-type]
    return caught.value.code


@pytest.mark.parametrize(("algorithm", "kind"), FITS)
def test_signs_and_verifies(algorithm: str, kind: KeyKind) -> None:
    signature = sign(key(kind), MESSAGE, algorithm)
    public = key(kind).public_key()
    check(public, algorithm, signature, MESSAGE)
    check(public, algorithm, signature, MESSAGE, sha256(MESSAGE).digest())
    assert code_of(public, algorithm, signature, MESSAGE + b"!") == "signature.invalid"
    assert code_of(new_key(kind).public_key(), algorithm, signature, MESSAGE) == "signature.invalid"
    assert code_of(public, algorithm, b"", MESSAGE) == "signature.invalid"
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    assert code_of(public, algorithm, flipped, MESSAGE) == "signature.invalid"


@pytest.mark.parametrize(("algorithm", "kind"), FITS)
@pytest.mark.parametrize("other", ["p256", "rsa2048", "ed25519"])
def test_key_and_algorithm_must_fit(algorithm: str, kind: KeyKind, other: KeyKind) -> None:
    if kind == other:
        check(key(other).public_key(), algorithm, sign(key(other), MESSAGE, algorithm), MESSAGE)
        return
    assert code_of(key(other).public_key(), algorithm, b"x", MESSAGE) == "signature.algorithm"
    with pytest.raises(Rejected, match=r"signature\.algorithm"):
        sign(key(other), MESSAGE, algorithm)


def test_pkcs1_does_not_pass_for_pss() -> None:
    signature = sign(key("rsa2048"), MESSAGE, "rsa_pkcs1_sha256")
    assert code_of(key("rsa2048").public_key(), "rsa_pss_sha256", signature, MESSAGE) == "signature.invalid"


def test_salt_has_the_digests_length() -> None:
    private = key("rsa2048")
    assert isinstance(private, rsa.RSAPrivateKey)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=20)
    signature = private.sign(MESSAGE, pss, hashes.SHA256())
    assert code_of(private.public_key(), "rsa_pss_sha256", signature, MESSAGE) == "signature.invalid"


def test_weak_and_other_keys() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505  on purpose
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    assert code_of(weak, "rsa_pkcs1_sha256", b"x", MESSAGE) == "signature.algorithm"
    assert code_of(other, "ecdsa_p256_sha256", b"x", MESSAGE) == "signature.algorithm"
    for public in (weak, other):
        with pytest.raises(Rejected, match=r"signature\.algorithm"):
            natural(public)


@pytest.mark.parametrize("algorithm", ["cms", "", "none", "ECDSA_P256_SHA256"])
def test_unknown_algorithm(algorithm: str) -> None:
    assert code_of(key("p256").public_key(), algorithm, b"x", MESSAGE) == "signature.algorithm"
