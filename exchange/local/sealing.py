"""A file sealed under a passphrase, written and read as a stream.

Guarantees: whoever lacks the passphrase learns the length and nothing else, and can change, reorder, cut or add nothing
unnoticed; memory is a few portions'. A portion is released only once it is verified; that it was the last shows at the
end, so use nothing before `opened` has returned everything.

Source: scrypt, RFC 7914 §2; AES-256-GCM, NIST SP 800-38D; portions by counter and last flag as in STREAM (Hoang,
Reyhanitabar, Rogaway, Vizár 2015).
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from exchange.errors import Rejected

MAGIC = b"exchange sealed 1\n"
SALT_BYTES, TAG_BYTES = 16, 16
PORTION_BYTES = 1024 * 1024
PASSPHRASE_CHARACTERS_MIN = 15

_COST, _BLOCK, _PARALLEL = 1 << 17, 8, 1
_COUNTER = struct.Struct(">IQ")


class Sealing:
    """Seals into a file what is written to it; `close` or it can't be opened."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """Raises: Rejected ``passphrase.weak``."""
        if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
            raise Rejected("passphrase.weak", f"{PASSPHRASE_CHARACTERS_MIN} characters or more, please")
        salt = secrets.token_bytes(SALT_BYTES)
        self._file = file
        self._cipher = AESGCM(_key(passphrase, salt))
        self._waiting = bytearray()
        self._number = 0
        file.write(MAGIC + salt)

    def write(self, data: bytes) -> int:
        """Append; the last portion waits for `close`, which alone knows that it is the last."""
        self._waiting += data
        while len(self._waiting) > PORTION_BYTES:
            self._seal(bytes(self._waiting[:PORTION_BYTES]), is_last=False)
            del self._waiting[:PORTION_BYTES]
        return len(data)

    def close(self) -> None:
        """Seal the last portion."""
        self._seal(bytes(self._waiting), is_last=True)

    def _seal(self, portion: bytes, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), portion, None))
        self._number += 1


def opened(file: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """Open what was sealed. Raises: Rejected ``backup.passphrase``: another one, or the file was changed."""
    head = file.read(len(MAGIC) + SALT_BYTES)
    if head[: len(MAGIC)] != MAGIC or len(head) != len(MAGIC) + SALT_BYTES:
        raise Rejected("backup.passphrase", "not a sealed file of this version")
    cipher = AESGCM(_key(passphrase, head[len(MAGIC) :]))
    number, portion = 0, file.read(PORTION_BYTES + TAG_BYTES)
    while True:
        following = file.read(PORTION_BYTES + TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), portion, None)
        except InvalidTag as exc:
            raise Rejected("backup.passphrase", "another passphrase, or the file was changed") from exc
        if not following:
            return
        number, portion = number + 1, following


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt, 32, _COST, _BLOCK, _PARALLEL).derive(passphrase.encode())


def _nonce(number: int, *, is_last: bool) -> bytes:
    """96 bits, never twice under one key, for each file has a key of its own."""
    return _COUNTER.pack(int(is_last), number)
