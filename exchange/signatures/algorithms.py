"""The signature algorithms that a record may name, and which keys they go with.

Guarantees: a signature is checked with the algorithm that was named and a key that fits it, never with one
guessed from the key. Does not know whose key it is: `trust` does; ``cms`` is unwrapped in `cms`.

Source: FIPS 186-5 (ECDSA on P-256 as DER, RSA), RFC 8017 (PKCS#1 v1.5, PSS with MGF1-SHA-256, salt 32),
RFC 8032 (Ed25519). Only SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from exchange.errors import Rejected

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

ECDSA_P256_SHA256 = "ecdsa_p256_sha256"
RSA_PKCS1_SHA256 = "rsa_pkcs1_sha256"
RSA_PSS_SHA256 = "rsa_pss_sha256"
ED25519 = "ed25519"
CMS = "cms"

RSA_BITS_MIN, RSA_BITS_MAX = 2048, 4096
"""Above the maximum a check costs milliseconds, which a flood could use."""

PSS_SALT_BYTES = 32

_HASH = Prehashed(SHA256())
_ECDSA = ec.ECDSA(_HASH)
_PKCS1 = padding.PKCS1v15()
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=PSS_SALT_BYTES)


def check(public_key: PublicKey, algorithm: str, signature: bytes, message: bytes, digest: bytes | None = None) -> None:
    """Verify a signature over `message`.

    `signature`: DER ECDSA (≤ 72 bytes), RSA (as long as the modulus) or Ed25519 (64 bytes). `digest`: SHA-256
    of `message` where the caller has it already.

    Raises: Rejected ``signature.invalid``, ``signature.algorithm`` (unknown, or it doesn't go with the key):
        the sender must act.
    """
    # 1. The key is one that the algorithm is for.
    require_fit(public_key, algorithm)
    # 2. The signature verifies: FIPS 186-5 §6.4.2, RFC 8017 §8.1.2 and §8.2.2, RFC 8032 §5.1.7.
    try:
        _VERIFY[algorithm](public_key, signature, message, digest)
    except InvalidSignature as exc:
        raise Rejected("signature.invalid", algorithm) from exc


def sign(private_key: PrivateKey, message: bytes, algorithm: str) -> bytes:
    """Sign `message`; the form is that which `check` takes. Only Ed25519 and PKCS#1 v1.5 are deterministic.

    Raises: Rejected ``signature.algorithm``: the caller named one that doesn't go with the key.
    """
    require_fit(private_key.public_key(), algorithm)
    return _SIGN[algorithm](private_key, message)


def require_fit(public_key: PublicKey, algorithm: str) -> None:
    """Refuse an algorithm that is unknown or not for this key; Rejected ``signature.algorithm``."""
    if algorithm == ECDSA_P256_SHA256:
        if isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(public_key.curve, ec.SECP256R1):
            return
    elif algorithm in {RSA_PKCS1_SHA256, RSA_PSS_SHA256}:
        if isinstance(public_key, rsa.RSAPublicKey) and RSA_BITS_MIN <= public_key.key_size <= RSA_BITS_MAX:
            return
    elif algorithm == ED25519 and isinstance(public_key, ed25519.Ed25519PublicKey):
        return
    raise Rejected("signature.algorithm", f"{algorithm[:40]} with {describe(public_key)}")


def natural(public_key: PublicKey) -> str:
    """The algorithm to sign with if nothing else is asked for; Rejected ``signature.algorithm``."""
    if isinstance(public_key, rsa.RSAPublicKey):
        algorithm = RSA_PKCS1_SHA256
    elif isinstance(public_key, ed25519.Ed25519PublicKey):
        algorithm = ED25519
    else:
        algorithm = ECDSA_P256_SHA256
    require_fit(public_key, algorithm)
    return algorithm


def describe(public_key: PublicKey) -> str:
    """Kind and size of a key, for an operator."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"RSA-{public_key.key_size}"
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    return public_key.curve.name


def _verify_ecdsa(key: Any, signature: bytes, message: bytes, digest: bytes | None) -> None:  # noqa: ANN401
    key.verify(signature, digest or sha256(message).digest(), _ECDSA)


def _verify_pkcs1(key: Any, signature: bytes, message: bytes, digest: bytes | None) -> None:  # noqa: ANN401
    key.verify(signature, digest or sha256(message).digest(), _PKCS1, _HASH)


def _verify_pss(key: Any, signature: bytes, message: bytes, digest: bytes | None) -> None:  # noqa: ANN401
    key.verify(signature, digest or sha256(message).digest(), _PSS, _HASH)


def _verify_ed25519(key: Any, signature: bytes, message: bytes, _: bytes | None) -> None:  # noqa: ANN401
    key.verify(signature, message)


_VERIFY: dict[str, Callable[[Any, bytes, bytes, bytes | None], None]] = {
    ECDSA_P256_SHA256: _verify_ecdsa,
    RSA_PKCS1_SHA256: _verify_pkcs1,
    RSA_PSS_SHA256: _verify_pss,
    ED25519: _verify_ed25519,
}
_SIGN: dict[str, Callable[[Any, bytes], bytes]] = {
    ECDSA_P256_SHA256: lambda key, message: key.sign(message, ec.ECDSA(SHA256())),
    RSA_PKCS1_SHA256: lambda key, message: key.sign(message, _PKCS1, SHA256()),
    RSA_PSS_SHA256: lambda key, message: key.sign(message, _PSS, SHA256()),
    ED25519: lambda key, message: key.sign(message),
}
