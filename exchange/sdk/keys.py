"""An agency's key from a folder: ``seal.key.pem`` and ``seal.crt.pem``, as its authority gave them; or, in place of the
key, ``seal.token.toml``, which names one in a PKCS#11 token (see `tokens`).

Keys for decrypting lie in ``encryption/`` below it, old ones too.

Guarantees: the private key stays in memory, or in the token; nothing of it is logged or sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from exchange.errors import Misconfigured
from exchange.sdk.enveloping import DecryptionKey, ReaderKey
from exchange.sdk.tokens import open_token
from exchange.signatures import PrivateKey, SigningKey

JWS_ALGORITHMS = {
    "ecdsa_p256_sha256": "ES256",
    "rsa_pkcs1_sha256": "RS256",
    "rsa_pss_sha256": "RS256",
    "ed25519": "EdDSA",
}
"""The JWS algorithm (RFC 7518 §3.1, RFC 8037 §3.1) of a key, by the algorithm that it signs statements with."""


def load_decryption(folder: Path) -> list[DecryptionKey]:
    """The keys for decrypting in a key folder: each ``encryption/<name>.key.pem`` with its ``.crt.pem``.

    Raises: Misconfigured if one can't be read or doesn't fit.
    """
    keys = []
    for path in sorted((folder / "encryption").glob("*.crt.pem")):
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            file = path.with_name(path.name.removesuffix(".crt.pem") + ".key.pem")
            key = cast(ReaderKey, load_pem_private_key(file.read_bytes(), None))
        except (OSError, ValueError, TypeError) as exc:
            raise Misconfigured([f"no usable key for decrypting beside {path}: {exc}"]) from exc
        if key.public_key() != certificate.public_key():
            raise Misconfigured([f"{file} isn't the key of {path.name}"])
        keys.append(DecryptionKey(certificate, key))
    return keys


def load(folder: Path, name: str = "seal", password: bytes | None = None) -> SigningKey:
    """The key pair ``<name>.key.pem`` or ``<name>.token.toml``, and ``<name>.crt.pem``.

    Raises: Misconfigured if it can't be read or doesn't fit.
    """
    token = folder / f"{name}.token.toml"
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt.pem").read_bytes())
        if token.exists():
            return SigningKey.of(open_token(token, certificate), certificate.public_bytes(Encoding.DER))
        key = cast(PrivateKey, load_pem_private_key((folder / f"{name}.key.pem").read_bytes(), password))
    except (OSError, ValueError, TypeError) as exc:
        raise Misconfigured([f"no usable key {name} in {folder}: {exc}"]) from exc
    if key.public_key() != certificate.public_key():
        raise Misconfigured([f"{name}.key.pem in {folder} isn't the key of {name}.crt.pem"])
    return SigningKey.of(key, certificate.public_bytes(Encoding.DER))
