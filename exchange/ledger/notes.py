"""Signed notes: a short text and who signed it, as one readable file.

Guarantees: `open_note` returns the text only if every line of a key that we know verifies, and at least one does;
lines of others are ignored, whatever they hold. Any bytes become a note or `Rejected`.

Source: C2SP signed-note v1.0.0. Only Ed25519, as a signature (type 01) or as a witness's cosignature (type 04,
whose meaning is in `checkpoint`).
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from exchange.errors import Misconfigured, Rejected

NOTE_BYTES_MAX = 64 * 1024
LINES_MAX = 64
"""Signature lines; the specification asks for 16 at least."""

SIGNATURE, COSIGNATURE = 1, 4
"""Type bytes of keys."""

KEY_BYTES = 32
_ID_BYTES = 4
_SEPARATOR = b"\n\n"
_DASH = "— "
_PRIVATE = "PRIVATE+KEY+"


class Line(NamedTuple):
    """One signature line. `blob`: what follows the key's id."""

    name: str
    key_id: bytes
    blob: bytes

    def encode(self) -> str:
        """The line as it stands in a note, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.blob).decode()}\n"


class Note(NamedTuple):
    """A note that was taken apart; nothing is verified. `text`: with its last newline."""

    text: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name. `kind`: `SIGNATURE` or `COSIGNATURE`; `public_key`: 32 bytes."""

    name: str
    kind: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of H(name ‖ newline ‖ type ‖ key): a hint, not a promise."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key).digest()[:_ID_BYTES]

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``name+id+base64``; Misconfigured if it isn't one of ours, for an operator gave it."""
        name, _, rest = text.strip().partition("+")
        stated, _, encoded = rest.partition("+")  # the base64 part may hold further "+"
        kind, key = _key_of(encoded)
        if not is_name(name) or kind not in {SIGNATURE, COSIGNATURE}:
            raise Misconfigured([f"no verifier key of an Ed25519 log or witness: {text.strip()[:200]!r}"])
        made = cls(name, kind, key)
        if stated != made.key_id.hex():
            raise Misconfigured([f"verifier key of {name}: its id is {made.key_id.hex()}, not {stated[:20]!r}"])
        return made

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.kind]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def check(self, message: bytes, signature: bytes) -> None:
        """Verify an Ed25519 signature (64 bytes); Rejected ``note.signature``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError) as exc:
            raise Rejected("note.signature", f"not of {self.name}") from exc


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A private key with its name, of a log or of a witness."""

    verifier: VerifierKey
    _private_key: Ed25519PrivateKey

    @classmethod
    def generate(cls, name: str, kind: int = SIGNATURE) -> NoteKey:
        """Make a new key; Misconfigured if no key may have that name."""
        return cls._of(name, kind, Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, name: str, seed: bytes, kind: int = SIGNATURE) -> NoteKey:
        """The key of a 32-byte seed."""
        return cls._of(name, kind, Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Read what `secret` wrote; Misconfigured if it is damaged."""
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        stated, _, encoded = rest.partition("+")
        kind, seed = _key_of(encoded)
        if not text.startswith(_PRIVATE) or not is_name(name) or kind not in {SIGNATURE, COSIGNATURE}:
            raise Misconfigured(["the key of a log or witness can't be read"])
        made = cls.from_seed(name, seed, kind)
        if stated != made.verifier.key_id.hex():
            raise Misconfigured([f"the key of {name} is damaged"])
        return made

    @classmethod
    def _of(cls, name: str, kind: int, private_key: Ed25519PrivateKey) -> NoteKey:
        if not is_name(name):
            raise Misconfigured([f"no name for a key: {name[:80]!r}"])
        public_key = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(VerifierKey(name, kind, public_key), private_key)

    @property
    def secret(self) -> str:
        """The key as text, for a private file."""
        seed = self._private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        encoded = base64.b64encode(bytes([self.verifier.kind]) + seed).decode()
        return f"{_PRIVATE}{self.verifier.name}+{self.verifier.key_id.hex()}+{encoded}\n"

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        return self._private_key.sign(message)


def is_name(name: str) -> bool:
    """Whether a key may have this name: not empty, no Unicode space, no ``+``, printable."""
    return bool(name) and not any(c == "+" or c.isspace() or unicodedata.category(c) == "Cc" for c in name)


def sign_note(text: str, key: NoteKey) -> str:
    """The note of one signer; `text` ends with a newline."""
    line = Line(key.verifier.name, key.verifier.key_id, key.sign(text.encode()))
    return f"{text}\n{line.encode()}"


def parse_note(data: bytes) -> Note:
    """Take a note apart, verifying nothing.

    Raises: Rejected ``note.too_large``, ``note.malformed``.
    """
    if len(data) > NOTE_BYTES_MAX:
        raise Rejected("note.too_large", f"{len(data)} > {NOTE_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise Rejected("note.malformed", "not UTF-8") from exc
    if any(c < " " and c != "\n" for c in text):
        raise Rejected("note.malformed", "control characters")
    at = data.rfind(_SEPARATOR)  # the text may hold empty lines itself
    if at < 0 or not data.endswith(b"\n"):
        raise Rejected("note.malformed", "no signatures")
    signatures = data[at + 2 :].decode().split("\n")[:-1]
    if not signatures or len(signatures) > LINES_MAX:
        raise Rejected("note.malformed", f"{len(signatures)} signature lines")
    return Note(data[: at + 1].decode(), tuple(map(_line, signatures)))


def open_note(data: bytes, keys: Sequence[VerifierKey]) -> str:
    """Verify a note by the keys that we know (type 01); returns its text.

    Raises: Rejected ``note.*``; ``note.signature`` if one of ours fails, ``note.unknown_signer`` if there is none.
    """
    note = parse_note(data)
    known = {(key.name, key.key_id): key for key in keys if key.kind == SIGNATURE}
    verified = 0
    for line in note.lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            key.check(note.text.encode(), line.blob)
            verified += 1
    if not verified:
        raise Rejected("note.unknown_signer", ", ".join(line.name for line in note.lines)[:200])
    return note.text


def from_base64(text: str) -> bytes:
    """Decode the one canonical spelling of some bytes; Rejected ``note.malformed`` for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Rejected("note.malformed", "not base64") from exc
    if base64.b64encode(data).decode() != text:
        raise Rejected("note.malformed", "another spelling of the same base64")
    return data


def _line(text: str) -> Line:
    name, _, encoded = text.removeprefix(_DASH).partition(" ")
    if not text.startswith(_DASH) or not is_name(name):
        raise Rejected("note.malformed", "no signature line")
    blob = from_base64(encoded)
    if len(blob) <= _ID_BYTES:
        raise Rejected("note.malformed", "an empty signature")
    return Line(name, blob[:_ID_BYTES], blob[_ID_BYTES:])


def _key_of(encoded: str) -> tuple[int, bytes]:
    """Type byte and key; type 0 for what isn't one."""
    try:
        blob = from_base64(encoded)
    except Rejected:
        return 0, b""
    return (blob[0], blob[1:]) if len(blob) == 1 + KEY_BYTES else (0, b"")
