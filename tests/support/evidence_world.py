"""Evidence for tests without any service: a signed world, its events in a ledger, the file about one document.

Everything is fixed but the keys, so one file serves many tests.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from exchange.backbone.folder import Folder
from exchange.ledger.checkpoint import cosign
from exchange.ledger.evidence import Anchors, contents
from exchange.ledger.evidence.assembling import assemble
from exchange.ledger.evidence.contents import Promised, ProvedEvent, Said
from exchange.ledger.leaves import leaves, salted
from exchange.ledger.notes import COSIGNATURE, NoteKey
from exchange.ledger.order import Order, Taken
from exchange.ledger.promises.deadlines import Deadlines, deadline_of
from exchange.ledger.promises.saying import Batch, decode, promises, taken_out
from exchange.ledger.store import CHECKPOINT, LedgerStore, tile_reader
from exchange.ledger.tree import TileTree
from exchange.local.issuing import Issued, KeyKind
from exchange.signatures import sign_batch, sign_record
from exchange.statements import KINDS, Fields, identify, schema
from exchange.statements.compose import encode, status
from tests.support import traces
from tests.support.signing import NOW_MS, OTHER, SENDER, World
from tests.support.stamping import stamper

CHECKED_MS = NOW_MS + 60_000
"""When tests verify what `make` made, if they don't say otherwise."""

STAMPED_MS = NOW_MS + 30_000

LOG, WITNESS = NoteKey.generate("ledger.test/1"), NoteKey.generate("witness.test/1", COSIGNATURE)
DOCUMENT_ID = "2026-1"
DUE, SILENT = 20_464, "H40"
"""Due some days later (2026-01-11); this recipient never answers."""


@dataclass
class Made:
    """An evidence file, and the proving parts that it was assembled from."""

    world: World
    sources: dict[str, bytes]
    file: bytes
    anchors: Anchors
    status_fields: Fields
    document_fields: Fields
    document_events: list[dict[str, Any]]


def make(
    folder: Path,
    *,
    key: KeyKind = "p256",
    batch: bool = False,
    leader: bool = False,
    connector: bool = False,
    delegate: str | None = None,
    filler: int = 300,
    stamped: bool = False,
    informed: Sequence[str] = (),
) -> Made:
    """A document of `SENDER` to `OTHER`, received and acknowledged, among `filler` other events of the ledger.

    `stamped`: with a time-stamp of its checkpoint, half a minute later. `informed`: whom it names for information.
    """
    world = World(key)
    changes = ({"signer": _signer(world)} if leader else {}) | ({"information": list(informed)} if informed else {})
    fields = world.document(**changes)
    seal = world.issue(SENDER, connector=connector, delegate=delegate) if connector or delegate else world.seal
    keys = [world.leader.signing_key, seal.signing_key] if leader else [seal.signing_key]
    raw = encode("document", fields)
    others = [encode("document", world.document(id=f"other-{n}")) for n in range(6)]
    record = sign_batch([*others, raw], keys[-1], SENDER, NOW_MS - 500)[-1] if batch else sign_record(raw, keys)
    said = status(
        OTHER, "s-1", fields, 1, signed_ms=NOW_MS, document_append_ms=NOW_MS, thread=KINDS["document"].key(fields)
    )  # fmt: skip
    receipt = sign_record(encode("status", said), [world.other_seal.signing_key])
    events = [
        [traces.event(n, "H01", f"f-{n}") for n in range(filler)],
        [_document_event(fields, raw, seal), traces.event(1, SENDER, DOCUMENT_ID, outcome="duplicate", code="")],
        [_status_event(said, fields, world.other_seal)],
        [traces.event(n, "H02", f"g-{n}") for n in range(5)],
    ]
    sources = _ledger(folder, events, wanted=[(1, 0), (1, 1), (2, 0)], receipt=receipt)
    sources |= {contents.STATEMENT: raw, contents.RECORD: record}
    sources[contents.PROMISES] = contents.write_lines(promised(world, events[1]))
    certificates = [seal, *([world.leader] if leader else []), world.other_seal, world.authority.backbone]
    issuing = world.authority.issuing_certificate
    ders = [one.certificate for one in certificates] + [issuing]
    sources[contents.CERTIFICATES] = contents.write_pem(contents.CERTIFICATE_LABEL, ders)
    [entry] = world.view.lists.values()
    sources[contents.LISTS] = contents.write_pem(contents.LIST_LABEL, [entry.crl])
    if stamped:
        digest = sha256(sources[contents.CHECKPOINT]).digest()
        sources[contents.CHECKPOINT_STAMP] = stamper(world.authority, STAMPED_MS).grant(digest)
    anchors = Anchors.plain([world.authority.root_certificate], LOG.verifier)
    return Made(world, sources, assemble(sources), anchors, said, fields, events[1])


def _signer(world: World) -> dict[str, str]:
    signer: dict[str, str] = world.document()["signer"] | {"leader": world.leader.leader}
    return signer


def _document_event(fields: Fields, raw: bytes, seal: Issued) -> dict[str, Any]:
    return traces.accepted(
        0, SENDER, fields["id"], [OTHER, SILENT], append_ms=NOW_MS, sha256=sha256(raw).digest(),
        certificate=seal.fingerprint, summary=traces.summary(due=DUE),
    )  # fmt: skip


def promised(
    world: World, events: list[dict[str, Any]], signer: Issued | None = None, **changed: object
) -> list[Promised]:
    """The backbone's promise about the first of these events, of partition 1, and a lapse of `SILENT`.

    `signer`: another than the backbone; `changed`: of what they say.
    """
    by = signer or world.authority.backbone
    words = list(promises({"topic": "documents", "partition": 1, "events": events}, 0, by.agency, NOW_MS + 500))
    deadlines = Deadlines()
    deadlines.take("documents", events[0])
    words += [lapse.statement for lapse in deadlines.lapses(deadline_of(DUE), by.agency, 1, 4)]
    words = [_changed(word, changed) for word in words]
    signed = decode(Batch(1, 0, 1, words).sign(by.signing_key, by.agency, NOW_MS + 500, "promises").value)
    return [Promised(taken_out(signed, place)) for place in (0, len(words) - 1)]


def _changed(word: bytes, changed: dict[str, object]) -> bytes:
    found = identify(word)
    fields = found.decode(word)
    return found.encode(fields | {name: value for name, value in changed.items() if name in fields})


def _status_event(said: Fields, document: Fields, seal: Issued) -> dict[str, Any]:
    event = traces.status(0, 1, traces.accepted(0, SENDER, document["id"], [OTHER]), OTHER, 1)
    return event | {
        "append_ms": NOW_MS + 1000,
        "id": said["id"],
        "sha256": sha256(encode("status", said)).digest(),
        "certificate": seal.fingerprint,
    }


def _ledger(
    folder: Path, events: list[list[dict[str, Any]]], wanted: list[tuple[int, int]], receipt: bytes
) -> dict[str, bytes]:
    """Store the events as a ledger, partition by partition; returns the parts that it gives."""
    store = LedgerStore(Folder(folder), LOG)
    held, taken = list[bytes](), list[Taken]()
    first: dict[int, int] = {}
    for partition, some in enumerate(events):
        record = {"topic": "documents", "partition": partition, "directory_offset": 7, "hop_ms": NOW_MS, "worker": "w"}
        found = leaves(partition, 0, schema("trace").encode({**record, "events": some}))
        first[partition] = len(held)
        held += found
        taken.append(Taken(partition, 0, len(found)))
    salts = [os.urandom(16) for _ in held]
    entries = [salted(salt, leaf) for salt, leaf in zip(salts, held, strict=True)]
    store.take(Order(0, store.root, b"b" * 16, taken, entries), 1, b"".join(salts))
    checkpoint = store.sign()
    tree = TileTree(checkpoint.size, tile_reader(Folder(folder)))
    proved = [
        ProvedEvent(at, salts[at], held[at], tuple(tree.inclusion(at)))
        for at in (first[partition] + index for partition, index in wanted)
    ]
    note = (folder / CHECKPOINT).read_bytes() + cosign(checkpoint.text, WITNESS, 1_800_000_000).encode().encode()
    return {
        contents.CHECKPOINT: note,
        contents.EVENTS: contents.write_lines(proved),
        contents.RECEIPTS: contents.write_lines([Said(proved[-1].index, receipt)]),
    }
