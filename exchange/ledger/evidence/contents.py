"""What lies in an evidence file, as values: ``docs/evidence-format.md``, version 1.

Guarantees: each text part has one spelling, and only that is read; any bytes become values within the limits or
`Rejected`. Nothing is verified here.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

from exchange.errors import Rejected
from exchange.ledger.leaves import SALT_BYTES
from exchange.ledger.notes import from_base64
from exchange.ledger.tiles import HASH_BYTES

FORMAT, VERSION = "exchange-evidence", 1

MANIFEST, CHECKPOINT, STATEMENT, RECORD = "manifest.json", "checkpoint.txt", "statement.avro", "record.avro"
EVENTS, RECEIPTS, PROMISES = "events.jsonl", "receipts.jsonl", "promises.jsonl"
CERTIFICATES, LISTS = "certificates.pem", "lists.pem"
PAGE, README, SIGNATURES = "page.html", "README.txt", "signatures/"
STAMPS, CHECKPOINT_STAMP = "stamps/", "stamps/checkpoint.tst"

SOURCES = (CHECKPOINT, STATEMENT, RECORD, EVENTS, RECEIPTS, PROMISES, CERTIFICATES, LISTS)
"""The parts that prove, beside the stamps; every other part is made from them, and is compared with what they give."""

STAMPS_MAX = 16
EVENTS_MAX = 200_000
PATH_MAX = 63
MANIFEST_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 2 * 1024 * 1024
PEM_BLOCKS_MAX = 50_000

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,20})-----\n([A-Za-z0-9+/=\n]*)-----END \1-----\n")
_PEM_WIDTH = 64
CERTIFICATE_LABEL, LIST_LABEL = "CERTIFICATE", "X509 CRL"


@dataclass(frozen=True, slots=True)
class ProvedEvent:
    """A leaf with its salt and its path. `leaf`: ``schemas/ledger_leaf``."""

    index: int
    salt: bytes
    leaf: bytes
    path: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in a line of ``events.jsonl``."""
        path = [_text(node) for node in self.path]
        return {"index": self.index, "salt": _text(self.salt), "leaf": _text(self.leaf), "path": path}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> ProvedEvent:
        """Read one; Rejected ``evidence.malformed``."""
        path = tuple(map(from_base64, line["path"]))
        found = cls(_natural(line["index"]), from_base64(line["salt"]), from_base64(line["leaf"]), path)
        if len(found.salt) != SALT_BYTES or len(path) > PATH_MAX or any(len(node) != HASH_BYTES for node in path):
            raise Rejected("evidence.malformed", f"event {found.index}: a salt or path of another length")
        return found


@dataclass(frozen=True, slots=True)
class Said:
    """A signed statement about the document, and the leaf of the event that took it in."""

    index: int
    record: bytes

    def to_json(self) -> dict[str, Any]:
        """As it stands in a line of ``receipts.jsonl``."""
        return {"index": self.index, "record": _text(self.record)}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> Said:
        """Read one; Rejected ``evidence.malformed``."""
        return cls(_natural(line["index"]), from_base64(line["record"]))


def stamp_names(parts: Iterable[str]) -> list[str]:
    """The names of a file's time-stamps, oldest first: the checkpoint's if there is one, then ``stamps/1.tst`` on.

    Raises: Rejected ``evidence.malformed``: one is missing between others, or isn't a stamp's name;
        ``evidence.too_large``.
    """
    held = {name for name in parts if name.startswith(STAMPS)}
    if len(held) > STAMPS_MAX:
        raise Rejected("evidence.too_large", f"{len(held)} time-stamps")
    first = [CHECKPOINT_STAMP] if CHECKPOINT_STAMP in held else []
    names = first + [next_stamp(number) for number in range(len(held) - len(first))]
    if set(names) != held:
        raise Rejected("evidence.malformed", "a time-stamp is missing, or has another name")
    return names


def next_stamp(number: int) -> str:
    """The name of the stamp over everything that follows `number` others of its kind."""
    return f"{STAMPS}{number + 1}.tst"


@dataclass(frozen=True, slots=True)
class Promised:
    """What the backbone signed about the document: a promise or a lapse."""

    record: bytes

    def to_json(self) -> dict[str, Any]:
        """As it stands in a line of ``promises.jsonl``."""
        return {"record": _text(self.record)}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> Promised:
        """Read one; Rejected ``evidence.malformed``."""
        return cls(from_base64(line["record"]))


def manifest(parts: Mapping[str, bytes], document: Mapping[str, Any]) -> bytes:
    """The manifest of all other parts. `document`: what the file is about, as the statement and events say."""
    listed = [{"name": name, "bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in parts.items()]
    return pretty({"format": FORMAT, "version": VERSION, "document": dict(document), "parts": listed})


def read_manifest(data: bytes) -> dict[str, Any]:
    """Read a manifest; Rejected ``evidence.malformed``, ``evidence.version``."""
    if len(data) > MANIFEST_BYTES_MAX:
        raise Rejected("evidence.too_large", f"a manifest of {len(data)} bytes")
    found = _json(data)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise Rejected("evidence.malformed", "not the manifest of an evidence file")
    if found.get("version") != VERSION or isinstance(found["version"], bool):
        raise Rejected("evidence.version", f"version {str(found.get('version'))[:20]}, this tool reads {VERSION}")
    if pretty(found) != data or set(found) != {"format", "version", "document", "parts"}:
        raise Rejected("evidence.not_canonical", MANIFEST)
    return found


def pretty(value: object) -> bytes:
    """JSON with one spelling; Rejected ``evidence.malformed`` for text that UTF-8 can't hold."""
    try:
        return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
    except UnicodeEncodeError as exc:
        raise Rejected("evidence.malformed", "half a surrogate pair") from exc


def write_lines(items: Iterable[ProvedEvent | Said | Promised]) -> bytes:
    """One JSON object a line."""
    return b"".join(_compact(item.to_json()) for item in items)


def read_events(data: bytes) -> list[ProvedEvent]:
    """Read ``events.jsonl``: ascending, none twice; Rejected ``evidence.*``."""
    found = [_read_as(ProvedEvent, line) for line in _lines(data, EVENTS)]
    _check_spelling(EVENTS, data, found)
    return found


def read_said(data: bytes) -> list[Said]:
    """Read ``receipts.jsonl``: ascending, none twice; Rejected ``evidence.*``."""
    found = [_read_as(Said, line) for line in _lines(data, RECEIPTS)]
    _check_spelling(RECEIPTS, data, found)
    return found


def read_promised(data: bytes) -> list[Promised]:
    """Read ``promises.jsonl``: none twice; Rejected ``evidence.*``."""
    found = [_read_as(Promised, line) for line in _lines(data, PROMISES)]
    if write_lines(found) != data or len(set(found)) != len(found):
        raise Rejected("evidence.not_canonical", PROMISES)
    return found


def write_pem(label: str, blocks: Iterable[bytes]) -> bytes:
    """DER as PEM, in the order given."""
    return b"".join(_pem(label, block) for block in blocks)


def read_pem(name: str, label: str, data: bytes) -> list[bytes]:
    """The DER blocks of a PEM part; Rejected ``evidence.*``."""
    blocks = [from_base64(found[2].replace(b"\n", b"").decode()) for found in _PEM.finditer(data)]
    if len(blocks) > PEM_BLOCKS_MAX:
        raise Rejected("evidence.too_large", f"{name}: {len(blocks)} blocks")
    if write_pem(label, blocks) != data or len(set(blocks)) != len(blocks):
        raise Rejected("evidence.not_canonical", name)
    return blocks


def _pem(label: str, der: bytes) -> bytes:
    text = _text(der)
    lines = (text[at : at + _PEM_WIDTH] for at in range(0, len(text), _PEM_WIDTH))
    body = "".join(f"{line}\n" for line in lines)
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def _lines(data: bytes, name: str) -> list[bytes]:
    lines = data.splitlines(keepends=True)
    if len(lines) > EVENTS_MAX or any(len(line) > LINE_BYTES_MAX for line in lines):
        raise Rejected("evidence.too_large", f"{name}: {len(lines)} lines")
    return lines


def _read_as(kind: type[Any], line: bytes) -> Any:  # noqa: ANN401
    found = _json(line)
    try:
        return kind.from_json(found)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as exc:
        raise Rejected("evidence.malformed", repr(exc)[:200]) from exc


def _check_spelling(name: str, data: bytes, items: list[Any]) -> None:
    if any(one.index >= other.index for one, other in pairwise(items)):
        raise Rejected("evidence.malformed", f"{name}: not in ascending order")
    if write_lines(items) != data:
        raise Rejected("evidence.not_canonical", name)


def _compact(value: object) -> bytes:
    return (json.dumps(value, separators=(",", ":")) + "\n").encode()


def _json(data: bytes) -> Any:  # noqa: ANN401
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise Rejected("evidence.malformed", f"not JSON: {exc!r}"[:200]) from exc


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise Rejected("evidence.malformed", f"no index: {value!r}"[:80])
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
