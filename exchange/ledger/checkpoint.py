"""Checkpoints: what a log says its tree is, and what witnesses add to that.

Guarantees: a checkpoint is handed out only once the log's own signature has verified and its origin is the key's
name; a cosignature counts only if it is over exactly this checkpoint. That two checkpoints are consistent is not
known here: `tree` proves it.

Source: C2SP tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1 (cosignature/v1, Ed25519).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exchange.errors import Misconfigured, Rejected
from exchange.ledger.notes import (
    COSIGNATURE,
    SIGNATURE,
    Line,
    NoteKey,
    VerifierKey,
    from_base64,
    open_note,
    parse_note,
    sign_note,
)

HASH_BYTES = 32
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree of `size` leaves whose root is `root` (32 bytes), of the log named `origin`."""

    origin: str
    size: int
    root: bytes
    extension: str = ""

    @property
    def text(self) -> str:
        """The signed text, each line with its newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n{self.extension}"

    def sign(self, key: NoteKey) -> str:
        """The signed note; Misconfigured if the key isn't the origin's."""
        if key.verifier.name != self.origin or key.verifier.kind != SIGNATURE:
            raise Misconfigured([f"the key of {key.verifier.name} doesn't sign for the log {self.origin}"])
        return sign_note(self.text, key)


class Cosignature(NamedTuple):
    """A witness's word: at `time_s` (POSIX seconds) this was the largest consistent tree that it had seen."""

    witness: str
    time_s: int


def parse_text(text: str) -> Checkpoint:
    """Read a checkpoint's text, verifying nothing; Rejected ``checkpoint.malformed``."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or "" in lines[:-1]:
        raise Rejected("checkpoint.malformed", "not three lines")
    origin, size, root = lines[:3]
    digest = from_base64(root)
    if len(digest) != HASH_BYTES:
        raise Rejected("checkpoint.malformed", f"a root of {len(digest)} bytes")
    return Checkpoint(origin, decimal(size), digest, "".join(f"{line}\n" for line in lines[3:-1]))


def open_checkpoint(data: bytes, key: VerifierKey) -> Checkpoint:
    """Verify a checkpoint by the log's key.

    Raises: Rejected ``note.*``, ``checkpoint.malformed``, ``checkpoint.other_origin``.
    """
    found = parse_text(open_note(data, [key]))
    if found.origin != key.name:
        raise Rejected("checkpoint.other_origin", f"{found.origin}, not {key.name}"[:200])
    return found


def cosign(text: str, key: NoteKey, time_s: int) -> Line:
    """A witness's line under a checkpoint's text; whether it may sign is `witness`'s business."""
    if key.verifier.kind != COSIGNATURE:
        raise Misconfigured([f"the key of {key.verifier.name} is not a witness's"])
    signature = key.sign(_cosigned(text, time_s))
    return Line(key.verifier.name, key.verifier.key_id, time_s.to_bytes(_TIME_BYTES, "big") + signature)


def cosignatures(data: bytes, witnesses: Sequence[VerifierKey]) -> list[Cosignature]:
    """The cosignatures of the witnesses that we know, in the order of the note.

    Raises: Rejected ``note.*``, ``checkpoint.cosignature``: a line of one that we know doesn't verify.
    """
    note = parse_note(data)
    known = {(key.name, key.key_id): key for key in witnesses if key.kind == COSIGNATURE}
    found = []
    for line in note.lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            found.append(Cosignature(line.name, _check(note.text, line, key)))
    return found


def decimal(text: str) -> int:
    """A number without sign or leading zeros; Rejected ``checkpoint.malformed``."""
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX or (text[0] == "0" and text != "0"):
        raise Rejected("checkpoint.malformed", f"no number: {text[:30]!r}")
    return int(text)


def _check(text: str, line: Line, key: VerifierKey) -> int:
    """Verify one cosignature; returns its time."""
    time_s = int.from_bytes(line.blob[:_TIME_BYTES], "big")
    if len(line.blob) != _TIME_BYTES + _SIGNATURE_BYTES or time_s >> 63:
        raise Rejected("checkpoint.cosignature", f"of {line.name}: {len(line.blob)} bytes")
    try:
        key.check(_cosigned(text, time_s), line.blob[_TIME_BYTES:])
    except Rejected as exc:
        raise Rejected("checkpoint.cosignature", f"of {line.name}") from exc
    return time_s


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()
