"""Signing a post: HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530).

Covered: the method, the address, content type, length and digest, and the idempotency key; with the time, the key's id
and the tag ``exchange-webhook``, so that a signature of this key for another purpose isn't one of ours.

The key is the webhook's own, Ed25519 or ECDSA P-256, never the seal: what is signed here has another form than a
statement. Its id is the SHA-256 of its public key (SubjectPublicKeyInfo), hex, cut to 16 bytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from connectors.shared.files import write
from exchange.errors import Misconfigured

TAG, LABEL = "exchange-webhook", "exchange"
COVERED = ("@method", "@target-uri", "content-type", "content-length", "content-digest", "idempotency-key")
KEY, PUBLIC = "webhook.key.pem", "webhook.pub.pem"

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(slots=True)
class Message:
    """A request as the signer sees it."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class Signer:
    """Signs by the key in a file. Raises: Misconfigured if there is none that fits."""

    def __init__(self, path: Path) -> None:
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as exc:
            raise Misconfigured([f"no usable key in {path}: {exc}; make one with `exchange webhook key`"]) from exc
        match key:
            case ed25519.Ed25519PrivateKey():
                algorithm: type[algorithms.HTTPSignatureAlgorithm] = algorithms.ED25519
            case ec.EllipticCurvePrivateKey() if isinstance(key.curve, ec.SECP256R1):
                algorithm = algorithms.ECDSA_P256_SHA256
            case _:
                raise Misconfigured([f"{path} is neither Ed25519 nor ECDSA P-256"])
        self.key_id = key_id_of(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        self._signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=_One(key))

    def sign(self, message: Message, digest: bytes, now_s: float) -> dict[str, str]:
        """The headers of a message with its digest (SHA-256 of the body) and its signature."""
        message.headers["content-digest"] = f"sha-256=:{base64.b64encode(digest).decode('ascii')}:"
        self._signer.sign(
            message, key_id=self.key_id, created=datetime.fromtimestamp(int(now_s), UTC), label=LABEL, tag=TAG,
            covered_component_ids=COVERED, use_existing_digest=True,
        )  # fmt: skip
        return {name.lower(): value for name, value in message.headers.items()}


def key_id_of(public_key: bytes) -> str:
    """The id of a public key (SubjectPublicKeyInfo, DER)."""
    return sha256(public_key).hexdigest()[:32]


def make_key(folder: Path) -> Path:
    """A new Ed25519 key in a folder; returns the public half's file. Raises: Misconfigured if there is one."""
    if (folder / KEY).exists():
        raise Misconfigured([f"{folder / KEY} is there already; receivers know it"])
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(folder / PUBLIC, public)
    write(folder / KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / PUBLIC


class _One(HTTPSignatureKeyResolver):
    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> PrivateKey:
        return self._key

    def resolve_public_key(self, key_id: str) -> bytes:
        raise KeyError(key_id)
