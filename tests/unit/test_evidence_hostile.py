"""Evidence of strangers whose manifest fits and whose parts are hostile: each is refused by its code, and soon.

What an archive itself can be is in `test_evidence_archive`, every byte that differs in `test_evidence_tampering`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.evidence import FAILED, contents, verify
from exchange.ledger.evidence.archive import pack, unpack
from exchange.ledger.evidence.contents import ProvedEvent
from exchange.ledger.notes import NoteKey, sign_note
from exchange.statements import schema
from tests.support.evidence_world import CHECKED_MS, LOG, Made, make

WITHIN_S = 5.0

Change = Callable[[Made], bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("ledger"), filler=20)


def checkpoint(size: int | None = None, root: bytes | None = None) -> Change:
    """The ledger's own signature under another tree."""

    def change(made: Made) -> bytes:
        size_, root_ = _signed(made)
        return Checkpoint(LOG.verifier.name, size or size_, root or root_).sign(LOG).encode()

    return change


def _signed(made: Made) -> tuple[int, bytes]:
    _, size, root = made.sources[contents.CHECKPOINT].decode().split("\n")[:3]
    return int(size), base64.b64decode(root)


def of_another_log(made: Made) -> bytes:
    """Our ledger's key under the checkpoint of a log of another name."""
    size, root = _signed(made)
    return sign_note(Checkpoint("another.log", size, root).text, LOG).encode()


def of_a_strangers_key(made: Made) -> bytes:
    size, root = _signed(made)
    return Checkpoint(LOG.verifier.name, size, root).sign(NoteKey.generate(LOG.verifier.name)).encode()


def event(**changed: Any) -> Change:  # noqa: ANN401
    """The last event's line with other fields."""

    def change(made: Made) -> bytes:
        lines = made.sources[contents.EVENTS].splitlines(keepends=True)
        line = json.dumps(json.loads(lines[-1]) | changed, separators=(",", ":")) + "\n"
        return b"".join(lines[:-1]) + line.encode()

    return change


def proved(**changed: Any) -> Change:  # noqa: ANN401
    """The last event with another proof."""

    def change(made: Made) -> bytes:
        *others, last = contents.read_events(made.sources[contents.EVENTS])
        fields = {name: getattr(last, name) for name in ("index", "salt", "leaf", "path")} | changed
        return contents.write_lines([*others, ProvedEvent(**fields)])

    return change


def record(**changed: Any) -> Change:  # noqa: ANN401
    """The signed record with other signatures."""

    def change(made: Made) -> bytes:
        known = schema("record")
        fields = known.decode(made.sources[contents.RECORD])
        return known.encode(fields | {name: make_(fields[name]) for name, make_ in changed.items()})

    return change


def nested(depth: int) -> bytes:
    """DER of so many sequences, each in the one before."""
    inner = b""
    for _ in range(depth):
        size = len(inner)
        length = bytes([size]) if size < 0x80 else b"\x84" + size.to_bytes(4, "big")
        inner = b"\x30" + length + inner
    return inner


NODE = base64.b64encode(bytes(32)).decode()
LINE = b'{"index":%d,"salt":"","leaf":"","path":[]}\n'

CASES: dict[str, tuple[str, Change, str]] = {
    # Recursive structures.
    "events nested deeply": (contents.EVENTS, lambda _: b"[" * 200_000 + b"\n", "evidence.malformed"),
    "an event nested deeply": (contents.EVENTS, lambda _: b'{"index":' * 100_000 + b"\n", "evidence.malformed"),
    "a path nested deeply": (
        contents.EVENTS,
        lambda _: b'{"index":1,"salt":"","leaf":"","path":' + b"[" * 900 + b"]" * 900 + b"}\n",
        "evidence.malformed",
    ),
    "a certificate nested deeply": (
        contents.CERTIFICATES,
        lambda _: contents.write_pem(contents.CERTIFICATE_LABEL, [nested(4_000)]),
        "certificate.malformed",
    ),
    "a list nested deeply": (
        contents.LISTS,
        lambda _: contents.write_pem(contents.LIST_LABEL, [nested(4_000)]),
        "crl.invalid",
    ),
    "a CMS nested deeply": (
        contents.RECORD,
        record(signatures=lambda held: [held[0] | {"algorithm": "cms", "value": nested(2_000)}]),
        "cms.malformed",
    ),
    # Too many, too large.
    "a million events": (contents.EVENTS, lambda _: LINE % 1 * 1_000_000, "evidence.too_large"),
    "a line of 3 MiB": (contents.EVENTS, lambda _: b'{"index":"' + b"a" * (3 << 20) + b'"}\n', "evidence.too_large"),
    "a number of a million digits": (
        contents.EVENTS,
        lambda _: b'{"index":' + b"9" * 1_000_000 + b"}\n",
        "evidence.malformed",
    ),
    "60,000 certificates": (
        contents.CERTIFICATES,
        lambda _: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 60_000,
        "evidence.too_large",
    ),
    "a checkpoint of 100 KiB": (contents.CHECKPOINT, lambda _: b"x" * 100_000, "note.too_large"),
    "a checkpoint with 65 signatures": (
        contents.CHECKPOINT,
        lambda made: made.sources[contents.CHECKPOINT] + "— a AAAAAAAA\n".encode() * 65,
        "note.malformed",
    ),
    "nine signatures": (contents.RECORD, record(signatures=lambda held: held * 9), "signature.too_many"),
    "a record of 100 KiB": (
        contents.RECORD,
        lambda made: made.sources[contents.RECORD] + bytes(100_000),
        "record.too_large",
    ),
    # Wrong sizes.
    "a salt of 15 bytes": (contents.EVENTS, event(salt=base64.b64encode(bytes(15)).decode()), "evidence.malformed"),
    "a path of 64 hashes": (contents.EVENTS, event(path=[NODE] * 64), "evidence.malformed"),
    "a hash of 31 bytes": (
        contents.EVENTS,
        event(path=[base64.b64encode(bytes(31)).decode()]),
        "evidence.malformed",
    ),
    "an index below zero": (contents.EVENTS, event(index=-1), "evidence.malformed"),
    "an index of 64 bits": (contents.EVENTS, event(index=1 << 63), "evidence.malformed"),
    "an index that is none": (contents.EVENTS, event(index=True), "evidence.malformed"),
    "a root of 31 bytes": (
        contents.CHECKPOINT,
        lambda made: made.sources[contents.CHECKPOINT].replace(
            base64.b64encode(_signed(made)[1]), base64.b64encode(bytes(31))
        ),
        "checkpoint.malformed",
    ),
    # Other people's proofs.
    "a path of another event": (contents.EVENTS, proved(path=(bytes(32),) * 5), "ledger.not_included"),
    "a path with one hash more": (
        contents.EVENTS,
        lambda made: proved(path=(*contents.read_events(made.sources[contents.EVENTS])[-1].path, bytes(32)))(made),
        "ledger.not_included",
    ),
    # Checkpoints of another log.
    "a checkpoint of another log": (contents.CHECKPOINT, of_another_log, "checkpoint.other_origin"),
    "a checkpoint by a stranger's key": (contents.CHECKPOINT, of_a_strangers_key, "note.unknown_signer"),
    # Sizes beyond the tree, which only the ledger itself could sign.
    "an event beyond the tree": (contents.EVENTS, proved(index=(1 << 63) - 1), "evidence.event_missing"),
    "a tree smaller than the event": (contents.CHECKPOINT, checkpoint(size=5), "ledger.not_included"),
    "a tree of another root": (contents.CHECKPOINT, checkpoint(root=bytes(32)), "ledger.not_included"),
    "a tree of 2^62 events": (contents.CHECKPOINT, checkpoint(size=1 << 62), "ledger.not_included"),
    "a tree of 2^64 events": (
        contents.CHECKPOINT,
        lambda made: sign_note(f"{LOG.verifier.name}\n{1 << 64}\n{NODE}\n", LOG).encode(),
        "checkpoint.malformed",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_by_its_code(made: Made, name: str) -> None:
    part, change, code = CASES[name]
    parts = unpack(made.file)
    found = json.loads(parts[contents.MANIFEST])
    others = {one: data for one, data in parts.items() if one != contents.MANIFEST} | {part: change(made)}
    began = time.monotonic()
    file = pack({contents.MANIFEST: contents.manifest(others, found["document"]), **others})
    verdict = verify(file, made.anchors, CHECKED_MS)
    [step] = [step for step in verdict.steps if step.state == FAILED]
    assert step.code == code, step
    assert len(step.note) < 1_000, "a stranger's text fills the screen"
    assert time.monotonic() - began < WITHIN_S
