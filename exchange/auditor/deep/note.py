"""A checkpoint as an auditor reads it: origin, size and root under the log's Ed25519 signature.

Guarantees: shares no code with the ledger. Any bytes become a checkpoint or `Rejected` ``checkpoint.unreadable``,
``checkpoint.unsigned``. Lines of others, such as witnesses, are not judged.

Source: C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from exchange.errors import Misconfigured, Rejected

_ED25519 = b"\x01"
_ID_BYTES, _KEY_BYTES = 4, 32


class LogKey(NamedTuple):
    """A log's verifier key. `id`: the four bytes that its signature lines begin with."""

    origin: str
    id: bytes
    key: bytes


class Signed(NamedTuple):
    """A tree that the log has signed."""

    size: int
    root: bytes


def log_key(text: str) -> LogKey:
    """Read ``name+id+key``; Misconfigured if it isn't one, or its id isn't its own."""
    try:
        name, _, encoded = text.strip().split("+", 2)
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as exc:
        raise Misconfigured([f"no verifier key of a ledger: {text[:80]!r}"]) from exc
    found = LogKey(name, sha256(name.encode() + b"\n" + blob).digest()[:_ID_BYTES], blob[1:])
    if not blob.startswith(_ED25519) or len(found.key) != _KEY_BYTES or text.strip().split("+")[1] != found.id.hex():
        raise Misconfigured([f"no verifier key of a ledger: {text[:80]!r}"])
    return found


def read_checkpoint(note: bytes, key: LogKey) -> Signed:
    """The signed tree. Raises: Rejected."""
    try:
        text, _, lines = note.decode().rpartition("\n\n")
        origin, size, root = text.split("\n")[:3]
        signed = Signed(int(size), base64.b64decode(root, validate=True))
    except ValueError as exc:
        raise Rejected("checkpoint.unreadable", repr(exc)[:200]) from exc
    if origin != key.origin or str(signed.size) != size or len(signed.root) != _KEY_BYTES:
        raise Rejected("checkpoint.unreadable", f"of {origin[:80]!r}")
    for line in lines.split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash == "—" and name == origin and _verifies(encoded, f"{text}\n".encode(), key):
            return signed
    raise Rejected("checkpoint.unsigned", f"no signature of {origin[:80]!r} verifies")


def _verifies(encoded: str, message: bytes, key: LogKey) -> bool:
    try:
        blob = base64.b64decode(encoded, validate=True)
        if blob[:_ID_BYTES] != key.id:
            return False
        Ed25519PublicKey.from_public_bytes(key.key).verify(blob[_ID_BYTES:], message)
    except (ValueError, InvalidSignature):
        return False
    return True
