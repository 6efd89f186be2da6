"""Attachments into files: a file has its name only once all its bytes are right and on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import count
from pathlib import Path

from exchange.errors import Rejected
from exchange.sdk.entries import silent
from exchange.sdk.enveloping import DecryptionKey, decrypted
from exchange.sdk.outbox import pieces
from exchange.sdk.session import Session
from exchange.statements import Fields

NAME_BYTES_MAX = 240
"""A file system takes 255; ours may add a number before it and ``.part`` behind."""
SUFFIX_MAX = 10


def save(session: Session, attachments: list[Fields], folder: Path) -> list[Path]:
    """Fetch attachments into a folder, made if missing; returns their paths.

    Cut off in between: a ``.part`` file is left, and fetched anew next time. Raises: Rejected
        ``attachment.differs``; GatewayRefused ``attachment.missing``; Unavailable; OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved: list[Path] = []
    for number, listed in enumerate(attachments, 1):
        final = folder / _free_name(folder, listed["name"], number)
        _fetch(session, listed["sha256"], listed["size"], final)
        saved.append(final)
    return saved


def save_encrypted(
    session: Session, attachments: list[Fields], files: list[Fields], folder: Path, keys: Sequence[DecryptionKey]
) -> list[Path]:
    """Fetch the encrypted attachments of a document and decrypt them; `files`: what the content says of each.

    Nothing of a file that doesn't open stays. Raises: as `save`; Rejected ``encryption.*``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved: list[Path] = []
    for number, (listed, told) in enumerate(zip(attachments, files, strict=True), 1):
        final = folder / _free_name(folder, told["name"], number)
        sealed = folder / f".{listed['sha256'].hex()}.p7m"
        _fetch(session, listed["sha256"], listed["size"], sealed)
        try:
            _write(session, decrypted(pieces(sealed, silent), keys), told["sha256"], told["size"], final)
        finally:
            sealed.unlink()
        saved.append(final)
    return saved


def read_encrypted(session: Session, listed: Fields, keys: Sequence[DecryptionKey], most: int) -> bytes:
    """Fetch and decrypt a small attachment into memory, `most` bytes as it lies there. Raises: as `save_encrypted`."""
    if listed["size"] > most:
        raise Rejected("encryption.malformed", f"a content of {listed['size']} > {most} bytes")
    parts, seen = [], 0
    with closing(session.stream(f"/v1/attachments/{listed['sha256'].hex()}")) as chunks:
        for chunk in chunks:
            seen += len(chunk)
            if seen > most:
                break
            parts.append(chunk)
    sealed = b"".join(parts)
    if sha256(sealed).digest() != listed["sha256"]:
        raise Rejected("attachment.differs", listed["sha256"].hex())
    return b"".join(decrypted([sealed], keys))


def _fetch(session: Session, digest: bytes, size: int, final: Path) -> None:
    with closing(session.stream(f"/v1/attachments/{digest.hex()}")) as chunks:
        _write(session, chunks, digest, size, final)


def _write(session: Session, chunks: Iterable[bytes], digest: bytes, size: int, final: Path) -> None:
    draft = final.with_name(final.name + ".part")
    hashed, seen = sha256(), 0
    try:
        with draft.open("wb") as target:
            for chunk in chunks:
                hashed.update(chunk)
                seen += len(chunk)
                target.write(chunk)
            target.flush()
            session.wire.aside(os.fsync, target.fileno())
    except Rejected:  # what was decrypted so far is nobody's word
        draft.unlink()
        raise
    if seen != size or hashed.digest() != digest:
        draft.unlink()
        raise Rejected("attachment.differs", f"{digest.hex()}: {seen} bytes, {hashed.hexdigest()}")
    draft.replace(final)


def _free_name(folder: Path, name: str, number: int) -> str:
    """The attachment's own name, cut where no file system takes it; one of a name that is taken gets a number."""
    stem, dot, suffix = name.rpartition(".")
    if len(name.encode()) > NAME_BYTES_MAX:
        ending = f"{dot}{suffix}" if stem and len(suffix) <= SUFFIX_MAX else ""
        room = NAME_BYTES_MAX - len(ending.encode())
        name = name.removesuffix(ending).encode()[:room].decode(errors="ignore") + ending
    if not name.startswith(".") and not (folder / name).exists():
        return name
    return next(one for n in count(number) if not (folder / (one := f"{n}-{name}")).exists())
