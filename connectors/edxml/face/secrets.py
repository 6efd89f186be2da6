"""Who may use the face: system ids and their secrets, of which the file holds hashes only.

Guarantees: a secret is compared in constant time, and can't be had from the file short of guessing it; an unknown id
takes as long as a wrong secret. One that was right is remembered in this process, as a keyed hash, so that scrypt is
paid once and not with every request.

Source: RFC 7914 (scrypt), with the parameters of its §2 for interactive use.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from exchange.errors import Misconfigured

COST, BLOCKS, PARALLEL = 2**14, 8, 1
SALT_BYTES, HASH_BYTES = 16, 32
SECRET_CHARACTERS_MAX = 200


class Secrets:
    """The secrets of a file; read once."""

    def __init__(self, path: Path) -> None:
        self._listed = _read(path)
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        self._nobody = (secrets.token_bytes(SALT_BYTES), secrets.token_bytes(HASH_BYTES))

    def was_right(self, system_id: str, secret: str) -> bool:
        """Whether this was found right before; takes microseconds."""
        return hmac.compare_digest(self._right.get(system_id, b""), self._keyed(secret))

    def is_right(self, system_id: str, secret: str) -> bool:
        """Whether this is the system's secret. Takes some 50 ms of a core: call it in a thread."""
        if len(secret) > SECRET_CHARACTERS_MAX:
            return False
        salt, known = self._listed.get(system_id, self._nobody)
        if not hmac.compare_digest(_hash(secret, salt), known):
            return False
        self._right[system_id] = self._keyed(secret)
        return True

    def _keyed(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), "sha256")


def enter(path: Path, system_id: str, secret: str) -> None:
    """Put a system's secret into the file, in place of an earlier one."""
    if not system_id or not secret or len(secret) > SECRET_CHARACTERS_MAX:
        raise Misconfigured([f"an id and a secret of 1 to {SECRET_CHARACTERS_MAX} characters are needed"])
    listed = _read(path) if path.exists() else {}
    salt = secrets.token_bytes(SALT_BYTES)
    listed[system_id] = salt, _hash(secret, salt)
    written = {one: {"salt": salt.hex(), "scrypt": known.hex()} for one, (salt, known) in listed.items()}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(written, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=COST, r=BLOCKS, p=PARALLEL, dklen=HASH_BYTES)


def _read(path: Path) -> dict[str, tuple[bytes, bytes]]:
    try:
        listed: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {one: (bytes.fromhex(two["salt"]), bytes.fromhex(two["scrypt"])) for one, two in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Misconfigured([f"no usable secrets in {path}: {exc!r}; make one with `exchange edxml secret`"]) from exc
