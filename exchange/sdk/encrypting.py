"""Encrypting a document's text and files to its recipients, and decrypting what came.

Guarantees: nothing of a confidential document lies in the outbox in the clear; a decrypted file has its name only once
all its bytes are right. To whom is encrypted is by the directory as the gateway tells it now; with roots of the
caller's own the gateway can't name a certificate that isn't the recipient's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from exchange.errors import Rejected
from exchange.sdk import fetching
from exchange.sdk.confidential import (
    CONTENT_BYTES_MAX,
    CONTENT_NAME,
    MEDIA_TYPE,
    Content,
    is_confidential,
    read_content,
    write_content,
)
from exchange.sdk.entries import Told
from exchange.sdk.enveloping import DecryptionKey, encrypted
from exchange.sdk.outbox import Outbox, media_type, pieces
from exchange.sdk.session import Session
from exchange.sdk.verifying import Verifying
from exchange.statements import KINDS, Fields
from exchange.statements.compose import attachment


class Encrypting:
    """`keys`: what opens what is encrypted to us, old ones too."""

    def __init__(self, session: Session, outbox: Outbox, verifying: Verifying, keys: Sequence[DecryptionKey]) -> None:
        self._session = session
        self._outbox = outbox
        self._verifying = verifying
        self._keys = keys

    def attach(self, fields: Fields, files: Sequence[Path], text: str, told: Told) -> Fields:
        """The document's fields with text and files attached, encrypted to all whom it names.

        Raises: Rejected ``encryption.group``, ``encryption.no_reader``; ``text.*``, ``attachment.*``: the sender must
            act; OSError.
        """
        readers = self._readers([*fields["to"], *fields["information"]])
        listed, kept = list[Fields](), list[Fields]()
        for number, path in enumerate(files, 1):
            hashed, size = sha256(), path.stat().st_size
            ref = self._outbox.take(encrypted(_hashing(pieces(path, told), hashed), size, readers))
            kept.append(attachment(f"{number}.p7m", MEDIA_TYPE, ref.size, ref.sha256))
            listed.append(attachment(path.name, media_type(path.name), size, hashed.digest()))
        content = write_content(fields["sender"], fields["id"], Content(text, listed))
        ref = self._outbox.take(encrypted([content], len(content), readers))
        whole = {**fields, "attachments": [attachment(CONTENT_NAME, MEDIA_TYPE, ref.size, ref.sha256), *kept]}
        KINDS["document"].check(whole)
        return whole

    def content(self, fields: Fields) -> Content:
        """The text and the list of files, decrypted if need be. Raises: Rejected ``encryption.*``."""
        if not is_confidential(fields):
            return Content(fields["content"], fields["attachments"])
        first = fields["attachments"][0]
        return read_content(fetching.read_encrypted(self._session, first, self._keys, CONTENT_BYTES_MAX), fields)

    def save(self, fields: Fields, folder: Path) -> list[Path]:
        """Fetch and decrypt the files of a confidential document. Raises: as `content`, ``attachment.differs``."""
        files = self.content(fields).files
        return fetching.save_encrypted(self._session, fields["attachments"][1:], files, folder, self._keys)

    def _readers(self, codes: Sequence[str]) -> list[x509.Certificate]:
        """What to encrypt to: the certificates of all these agencies, each once."""
        found: dict[bytes, x509.Certificate] = {}
        for code in codes:
            if code.startswith("@"):
                raise Rejected("encryption.group", f"{code[:60]}: name its members")
            found |= {one.fingerprint(SHA256()): one for one in self._verifying.readers(code)}
        return list(found.values())


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _hashing(chunks: Iterator[bytes], hashed: _Hash) -> Iterator[bytes]:
    """The chunks as they come, hashed on the way."""
    for chunk in chunks:
        hashed.update(chunk)
        yield chunk
