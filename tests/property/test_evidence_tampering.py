"""No byte of an evidence file can differ: each part is tampered with, plainly and with the manifest made to fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange.agencies import BACKBONE_CODE
from exchange.errors import Misconfigured, Rejected
from exchange.ledger.evidence import FAILED, GOOD, NOT_REACHED, Anchors, Step, contents, renew, verify
from exchange.ledger.evidence.archive import pack, unpack
from exchange.ledger.evidence.assembling import assemble
from exchange.ledger.evidence.contents import ProvedEvent, Said
from exchange.ledger.evidence.verifying import CHECKLIST
from exchange.ledger.notes import NoteKey, VerifierKey
from tests.support import independent_verifier
from tests.support.evidence_world import CHECKED_MS, LOG, SILENT, STAMPED_MS, WITNESS, Made, make, promised
from tests.support.independent_verifier import Refused
from tests.support.signing import NOW_MS, OTHER, World
from tests.support.stamping import stamper

Change = Callable[[bytes], bytes]

PROVING = {
    contents.CHECKPOINT: {"checkpoint", "parts"},
    contents.STATEMENT: {"parts"},
    contents.RECORD: {"parts", "acceptance", "certificates", "signature"},
    contents.EVENTS: {"parts", "events"},
    contents.RECEIPTS: {"parts", "receipts"},
    contents.PROMISES: {"parts", "promises"},
    contents.CERTIFICATES: {"parts", "certificates", "signature", "receipts", "promises", "rest"},
    contents.LISTS: {"parts", "certificates", "receipts", "promises"},
}
"""With the manifest made to fit, where a changed byte of each proving part may be found at the earliest."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """With the checkpoint's stamp and one over everything."""
    one = make(tmp_path_factory.mktemp("stamped"), stamped=True)
    tsa = stamper(one.world.authority, STAMPED_MS + 10_000)
    one.file = renew(one.file, one.anchors, lambda: CHECKED_MS, lambda content, _: tsa.grant(sha256(content).digest()))
    return one


def refitted(parts: Mapping[str, bytes]) -> bytes:
    """The archive with a manifest that fits its other parts, as a forger would make it."""
    found = json.loads(parts[contents.MANIFEST])
    others = {name: data for name, data in parts.items() if name != contents.MANIFEST}
    return pack({contents.MANIFEST: contents.manifest(others, found["document"]), **others})


def failed(data: bytes, anchors: Anchors) -> Step:
    """The one step that says no; those before are good, those after aren't reached."""
    verdict = verify(data, anchors, CHECKED_MS)
    [step] = [step for step in verdict.steps if step.state == FAILED]
    assert [one.state for one in verdict.steps] == (
        [GOOD] * (step.number - 1) + [FAILED] + [NOT_REACHED] * (len(CHECKLIST) - step.number)
    )
    assert not verdict.holds
    with pytest.raises(Rejected) as caught:
        verdict.require()
    assert caught.value.code == step.code
    return step


def roots_of(made: Made) -> list[bytes]:
    return [one.certificate for one in made.anchors.roots]


def trusting(made: Made, *witnesses: VerifierKey) -> Anchors:
    """The same trust, with witnesses that must have cosigned."""
    return Anchors.plain(roots_of(made), LOG.verifier, witnesses)


def independent(made: Made, data: bytes, now_ms: int = CHECKED_MS) -> str:
    """The other verifier's answer."""
    root = x509.load_der_x509_certificate(roots_of(made)[0])
    return independent_verifier.verify(data, root, str(LOG.verifier), now_ms)


def flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def test_ours_holds_by_both_verifiers(tmp_path: Path) -> None:
    for number, options in enumerate([{}, {"key": "rsa2048"}, {"key": "ed25519"}, {"batch": True}, {"leader": True}]):
        one = make(tmp_path / str(number), **options)  # type: ignore[arg-type]
        verdict = verify(one.file, one.anchors, CHECKED_MS)
        assert verdict.holds, verdict.steps
        assert verdict.require().about["sha256"] == independent(one, one.file)
        assert [step.name for step in verdict.steps] == [name for name, _ in CHECKLIST]


@settings(max_examples=150, deadline=None, database=None)
@given(st.data())
def test_a_byte_of_the_file(made: Made, data: st.DataObject) -> None:
    at, bits = data.draw(st.integers(0, len(made.file) - 1)), data.draw(st.integers(1, 255))
    changed = flipped(made.file, at, bits)
    assert failed(changed, made.anchors).name == "archive"
    with pytest.raises(Refused):
        independent(made, changed)


@settings(max_examples=100, deadline=None, database=None)
@given(st.data())
def test_a_byte_of_a_part(made: Made, data: st.DataObject) -> None:
    parts = unpack(made.file)
    name = data.draw(st.sampled_from(sorted(parts)))
    parts[name] = flipped(parts[name], data.draw(st.integers(0, len(parts[name]) - 1)), data.draw(st.integers(1, 255)))
    step = failed(pack(parts), made.anchors)
    if name == contents.MANIFEST:
        assert step.name in {"parts", "rest"}
    else:
        assert (step.name, step.code, step.note) == ("parts", "evidence.part_differs", name)
        with pytest.raises(Refused) as caught:
            independent(made, pack(parts))
        assert caught.value.step == 2


@settings(max_examples=250, deadline=None, database=None)
@given(st.data())
def test_a_byte_of_a_part_with_a_manifest_that_fits(made: Made, data: st.DataObject) -> None:
    parts = unpack(made.file)
    name = data.draw(st.sampled_from(sorted(parts.keys() - {contents.MANIFEST})))
    at, bits = data.draw(st.integers(0, len(parts[name]) - 1)), data.draw(st.integers(1, 255))
    parts[name] = flipped(parts[name], at, bits)
    changed = refitted(parts)
    if name == contents.CHECKPOINT and verify(changed, made.anchors, CHECKED_MS).holds:
        # Lines of witnesses that nobody asked for are not ours to judge; they are, once asked for.
        anchors = trusting(made, WITNESS.verifier)
        assert failed(changed, anchors).name == "witnesses"
        return
    step = failed(changed, made.anchors)
    assert step.name in PROVING.get(name, {"rest"}), (step, name, at)
    if name in PROVING and step.name not in {"rest", "parts"}:
        with pytest.raises(Refused):
            independent(made, changed)


@settings(max_examples=200, deadline=None, database=None)
@given(st.data())
def test_a_byte_of_a_stamp_or_of_what_it_is_over(stamped: Made, data: st.DataObject) -> None:
    """With stamps over it, no proving part can be changed in favour of another valid one either."""
    parts = unpack(stamped.file)
    name = data.draw(st.sampled_from([*contents.SOURCES, contents.CHECKPOINT_STAMP, "stamps/1.tst"]))
    at, bits = data.draw(st.integers(0, len(parts[name]) - 1)), data.draw(st.integers(1, 255))
    parts[name] = flipped(parts[name], at, bits)
    step = failed(refitted(parts), stamped.anchors)
    assert step.name in ({"stamps"} if name.startswith(contents.STAMPS) else {"parts", "stamps"}), (step, name, at)
    if step.name == "stamps":
        with pytest.raises(Refused) as caught:
            independent(stamped, refitted(parts))
        assert caught.value.step == 3


def test_witnesses_that_are_asked_for(made: Made) -> None:
    anchors = trusting(made, WITNESS.verifier)
    verdict = verify(made.file, anchors, CHECKED_MS)
    assert verdict.holds
    assert verdict.steps[4].note == "witness.test/1"
    stranger = NoteKey.generate("witness.test/2", WITNESS.verifier.kind).verifier
    step = failed(made.file, trusting(made, WITNESS.verifier, stranger))
    assert (step.code, step.note) == ("checkpoint.not_witnessed", "witness.test/2")


def test_another_root_or_ledger(made: Made) -> None:
    other = World()
    step = failed(made.file, Anchors.plain([other.authority.root_certificate], LOG.verifier))
    assert (step.name, step.code) == ("certificates", "certificate.unknown_issuer")
    step = failed(made.file, Anchors.plain(roots_of(made), NoteKey.generate("other.test").verifier))
    assert (step.name, step.code) == ("checkpoint", "note.unknown_signer")
    with pytest.raises(Misconfigured):
        Anchors.plain([made.world.seal.certificate], LOG.verifier)


def forged(made: Made, **changed: bytes) -> bytes:
    """The file with other proving parts, and all else made from them, as our own tool would."""
    names = {"checkpoint": contents.CHECKPOINT, "events": contents.EVENTS, "receipts": contents.RECEIPTS}
    names |= {"lists": contents.LISTS, "certificates": contents.CERTIFICATES, "record": contents.RECORD}
    return assemble(made.sources | {names[name]: data for name, data in changed.items()})


def test_other_peoples_proofs(made: Made, tmp_path: Path) -> None:
    """Parts of a like file of another ledger, and proofs moved between the events of one."""
    other = make(tmp_path / "other", filler=290)
    events = contents.read_events(made.sources[contents.EVENTS])
    swapped = [ProvedEvent(one.index, events[0].salt, events[0].leaf, one.path) for one in events[1:2]]
    cases: dict[str, tuple[str, bytes]] = {
        "events": ("ledger.not_included", forged(made, checkpoint=other.sources[contents.CHECKPOINT])),
        "swapped": ("ledger.not_included", forged(made, events=contents.write_lines([*swapped, events[2]]))),
    }
    for code, data in cases.values():
        step = failed(data, made.anchors)
        assert (step.name, step.code) == ("events", code)
        with pytest.raises(Refused) as caught:
            independent(made, data)
        assert caught.value.step == 6


def test_receipts_left_out_or_of_another_document(made: Made) -> None:
    step = failed(forged(made, receipts=b""), made.anchors)
    assert (step.name, step.code) == ("receipts", "receipt.missing")
    [said] = contents.read_said(made.sources[contents.RECEIPTS])
    wrong = contents.write_lines([Said(said.index, made.sources[contents.RECORD])])
    step = failed(forged(made, receipts=wrong), made.anchors)
    assert (step.name, step.code) == ("receipts", "evidence.other_statement")
    for data in (forged(made, receipts=b""), forged(made, receipts=wrong)):
        with pytest.raises(Refused) as caught:
            independent(made, data)
        assert caught.value.step == 10


def test_a_certificate_revoked_by_then(tmp_path: Path) -> None:
    one = make(tmp_path / "ledger")
    one.world.revoke(one.world.seal, NOW_MS - 1)
    [entry] = one.world.view.lists.values()
    data = forged(one, lists=contents.write_pem(contents.LIST_LABEL, [entry.crl]))
    step = failed(data, one.anchors)
    assert (step.name, step.code) == ("certificates", "certificate.revoked")
    with pytest.raises(Refused) as caught:
        independent(one, data)
    assert caught.value.step == 8
    step = failed(forged(one, lists=b""), one.anchors)
    assert (step.name, step.code) == ("certificates", "crl.stale")


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=300))
@example(b"")
@example(b"PK\x03\x04")
def test_any_bytes_give_a_verdict(made: Made, data: bytes) -> None:
    assert failed(data, made.anchors).name == "archive"


@settings(max_examples=150, deadline=None, database=None)  # what an earlier run kept fits only that run's keys
@given(st.data())
def test_any_text_in_a_part_gives_a_verdict(made: Made, data: st.DataObject) -> None:
    parts = unpack(made.file)
    name = data.draw(st.sampled_from(sorted(parts.keys() - {contents.MANIFEST})))
    old = parts[name]
    start, end = data.draw(st.integers(0, len(old))), data.draw(st.integers(0, 60))
    parts[name] = old[:start] + data.draw(st.binary(max_size=60)) + old[start + end :]
    if parts[name] != old:  # lines of witnesses that nobody asked for would not be ours to judge
        assert failed(refitted(parts), trusting(made, WITNESS.verifier))


def manifest_with(made_of: dict[str, bytes], **changed: Any) -> bytes:  # noqa: ANN401
    return contents.pretty(json.loads(made_of[contents.MANIFEST]) | changed)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("evidence.version", lambda parts: manifest_with(parts, version=2)),
        ("evidence.version", lambda parts: manifest_with(parts, version=True)),
        ("evidence.malformed", lambda parts: manifest_with(parts, format="x")),
        ("evidence.not_canonical", lambda parts: manifest_with(parts, more=1)),
        ("evidence.not_canonical", lambda parts: parts[contents.MANIFEST] + b" "),
        ("evidence.part_missing", lambda parts: manifest_with(parts, parts=[])),
        ("evidence.part_missing", lambda parts: manifest_with(parts, parts=7)),
        ("evidence.malformed", lambda _: b"[" * 60_000),
        ("evidence.malformed", lambda parts: parts[contents.MANIFEST].replace(b"2026-1", b"\\ud800", 1)),
        ("evidence.too_large", lambda _: b" " * 70_000),
    ],
)
def test_hostile_manifests(made: Made, code: str, change: Callable[[dict[str, bytes]], bytes]) -> None:
    parts = unpack(made.file)
    parts[contents.MANIFEST] = change(parts)
    step = failed(pack(parts), made.anchors)
    assert (step.name, step.code) == ("parts", code)


def test_every_part_is_needed(made: Made) -> None:
    for name in unpack(made.file):
        parts = unpack(made.file)
        del parts[name]
        data = pack(parts) if name == contents.MANIFEST else refitted(parts)
        step = failed(data, made.anchors)
        assert step.name in {"parts", "rest"}, name
    parts = unpack(made.file) | {"more.txt": sha256(b"").digest()}
    assert failed(refitted(parts), made.anchors).name == "rest"


def test_a_promise_and_a_lapse_are_in_the_file_and_on_its_page(made: Made) -> None:
    verdict = verify(made.file, made.anchors, CHECKED_MS)
    [step] = [step for step in verdict.steps if step.name == "promises"]
    assert step.note == "1 promised, 1 had not answered when it was due"
    assert [word.name for word in verdict.require().promised] == ["promise", "lapse"]
    assert f"{SILENT}: chưa có biên nhận khi đến hạn" in unpack(made.file)[contents.PAGE].decode()
    without = assemble({**made.sources, contents.PROMISES: b""})
    assert verify(without, made.anchors, CHECKED_MS).holds
    assert independent(made, without) == independent(made, made.file)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"trace_index": 1}, "promise.other_event"),
        ({"outcome": "rejected"}, "promise.other_event"),
        ({"sha256": bytes(32)}, "promise.other_event"),
        ({"recipient": OTHER}, "lapse.contradicted"),
        ({"recipient": "H99"}, "lapse.other_document"),
        ({"deadline_ms": NOW_MS}, "lapse.other_document"),
        ({"thread": "another"}, "lapse.other_document"),
    ],
)
def test_what_the_backbone_signed_about_something_else_proves_nothing(
    made: Made, changed: dict[str, Any], code: str
) -> None:
    lines = contents.write_lines(promised(made.world, made.document_events, **changed))
    false = assemble({**made.sources, contents.PROMISES: lines})
    step = failed(false, made.anchors)
    assert (step.name, step.code) == ("promises", code)
    with pytest.raises(Refused) as caught:
        independent(made, false)
    assert caught.value.step == 11


def test_what_somebody_else_signed_is_no_promise(made: Made) -> None:
    for signer in (made.world.other_seal, replace(made.world.other_seal, agency=BACKBONE_CODE)):
        lines = contents.write_lines(promised(made.world, made.document_events, signer=signer))
        false = assemble({**made.sources, contents.PROMISES: lines})
        assert failed(false, made.anchors).code == "promise.not_the_backbones"
        with pytest.raises(Refused) as caught:
            independent(made, false)
        assert caught.value.step == 11
