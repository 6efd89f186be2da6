"""Sealing under a statement's key: values whole, attachments as a stream of chunks.

Guarantees: what opens is what was sealed, at the same place and for the same statement; a stream that was cut,
reordered or extended doesn't open to its end. Nonces: random for values (a key seals a handful), counted for the chunks
of a stream behind a random prefix, with the last one marked (the STREAM construction).

Source: NIST SP 800-38D; Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance (2015), §7.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from exchange.errors import Rejected

NONCE_BYTES, TAG_BYTES = 12, 16
CHUNK_BYTES = 1024 * 1024
"""Of a stream, before it is sealed; the last one may be shorter."""

_PREFIX_BYTES = 7
_PLACE, _COUNTER = struct.Struct(">qi"), struct.Struct(">I?")


def place(topic: str, partition: int, offset: int, at: int) -> bytes:
    """The additional data of a sealed value: offset (8) and event (4), big-endian, then ``topic/partition``."""
    return _PLACE.pack(offset, at) + f"{topic}/{partition}".encode()


def seal(key: bytes, data: bytes, where: bytes) -> bytes:
    """Nonce, ciphertext, tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, where)


def open_sealed(key: bytes, sealed: bytes, where: bytes) -> bytes:
    """The value; Rejected ``archive.damaged`` if it was sealed for another place or key, or changed."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], where)
    except (InvalidTag, ValueError) as exc:
        raise Rejected("archive.damaged", where.hex()) from exc


def seal_stream(key: bytes, chunks: Iterable[bytes], where: bytes) -> Iterator[bytes]:
    """The prefix of the nonces (7 bytes), then each chunk with its tag."""
    cipher, prefix = AESGCM(key), os.urandom(_PREFIX_BYTES)
    yield prefix
    for number, (chunk, is_last) in enumerate(_cut(chunks, CHUNK_BYTES)):
        yield cipher.encrypt(prefix + _COUNTER.pack(number, is_last), chunk, where)


def open_stream(key: bytes, chunks: Iterable[bytes], where: bytes) -> Iterator[bytes]:
    """What was sealed, chunk by chunk. Raises: Rejected ``archive.damaged``, after the last good one."""
    cipher, source = AESGCM(key), iter(chunks)
    held = b""
    while len(held) < _PREFIX_BYTES:
        piece = next(source, None)
        if piece is None:
            raise Rejected("archive.damaged", where.hex())
        held += piece
    prefix, rest = held[:_PREFIX_BYTES], held[_PREFIX_BYTES:]
    for number, (sealed, is_last) in enumerate(_cut(_then(rest, source), CHUNK_BYTES + TAG_BYTES)):
        try:
            yield cipher.decrypt(prefix + _COUNTER.pack(number, is_last), sealed, where)
        except (InvalidTag, ValueError) as exc:
            raise Rejected("archive.damaged", where.hex()) from exc


def _then(first: bytes, others: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _cut(chunks: Iterable[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of `size` bytes, the last one perhaps shorter, and whether each is the last."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) > size:  # not ≥: the last one must be known as such
            yield bytes(held[:size]), False
            del held[:size]
    yield bytes(held), True
