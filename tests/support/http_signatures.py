"""Verifying an HTTP message signature by hand, as RFC 9421 §3.2 tells it; no code of the connector's."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


def verify(
    key: PublicKey, label: str, headers: Mapping[str, str], *, method: str = "", url: str = "", status: int = 0
) -> dict[str, str]:
    """Raise InvalidSignature unless the message is signed by this key; returns what is covered.

    `headers`: names in lower case.
    """
    parameters = headers["signature-input"].removeprefix(f"{label}=")
    signature = base64.b64decode(headers["signature"].removeprefix(f"{label}=").strip(":"))
    parts = urlsplit(url)
    derived = {
        "@method": method, "@target-uri": url, "@authority": parts.netloc, "@path": parts.path, "@status": str(status)
    }  # fmt: skip
    names = re.findall(r'"([^"]+)"', parameters.partition(")")[0])
    covered = {name: derived.get(name) or headers[name].strip() for name in names}
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode()
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, base)
    else:
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        key.verify(encode_dss_signature(r, s), base, ec.ECDSA(SHA256()))
    return covered
