"""The gate's promises for any bytes at all."""

from __future__ import annotations

import contextlib
from datetime import date
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange.errors import Rejected
from exchange.signatures import Verified, admit, encode_record, sign_batch, sign_record, wrap_cms
from exchange.signatures.cms import check_cms
from exchange.signatures.merkle import leaf_hash, paths, root, root_from_path
from exchange.statements import schema
from exchange.statements.compose import document, encode
from tests.support.signing import LEADER, NOW_MS, SENDER, STORAGE_KEY, World

WORLD = World()


def admitted(value: bytes) -> Verified | None:
    """What the gate made of it; None for `Rejected`, and any other exception fails the test."""
    try:
        return admit(value, NOW_MS, WORLD.trust, storage_keys=[STORAGE_KEY])
    except Rejected:
        return None


@cache
def valid_records() -> dict[str, bytes]:
    """One of each form: signed alone, with a leader and an attachment, and in a batch."""
    fields, receipt = WORLD.with_attachment()
    led = fields | {"signer": {"name": "An", "position": "Chủ tịch", "leader": LEADER}}
    keys = [WORLD.leader.signing_key, WORLD.seal.signing_key]
    raws = [WORLD.raw(id=f"b{n}") for n in range(3)]
    return {
        "single": WORLD.record(),
        "led": sign_record(encode("document", led), keys, [receipt]),
        "batch": sign_batch(raws, WORLD.seal.signing_key, SENDER, NOW_MS)[1],
    }


def test_the_records_to_be_damaged_are_valid() -> None:
    assert all(admitted(record) for record in valid_records().values())


@given(st.binary(max_size=400))
@example(b"")
@example(schema("record").prefix)
def test_any_bytes(value: bytes) -> None:
    assert admitted(value) is None
    assert admitted(schema("record").prefix + value) is None


SIGNATURES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "algorithm": st.sampled_from(["ecdsa_p256_sha256", "rsa_pkcs1_sha256", "rsa_pss_sha256", "ed25519", "cms"]),
        "certificate": st.sampled_from([WORLD.seal.fingerprint, WORLD.leader.fingerprint, bytes(32)]),
        "value": st.binary(max_size=90),
        "batch": st.none()
        | st.fixed_dictionaries(
            {
                "statement": st.binary(max_size=100).map(lambda tail: schema("batch").prefix + tail),
                "index": st.integers(-(1 << 63), (1 << 63) - 1),
                "path": st.lists(st.binary(min_size=32, max_size=32), max_size=3),
            }
        ),
    }
)


@given(st.binary(max_size=300), st.lists(SIGNATURES, min_size=1, max_size=3))
def test_any_statement_with_any_signatures(tail: bytes, signatures: list[dict[str, Any]]) -> None:
    for raw in (tail, schema("document").prefix + tail, WORLD.raw()):
        assert admitted(encode_record(raw, signatures)) is None


@given(st.binary(max_size=300))
def test_any_content_signed_by_the_sender(tail: bytes) -> None:
    """Whatever its sender signed: the rules hold behind a good signature too."""
    for kind in ("document", "status", "report"):
        verified = admitted(sign_record(schema(kind).prefix + tail, [WORLD.seal.signing_key]))
        assert verified is None or verified.statement.sender == SENDER


@settings(max_examples=400)
@given(st.sampled_from(sorted(valid_records())), st.data())
def test_a_changed_byte_never_says_something_else(form: str, data: st.DataObject) -> None:
    record = valid_records()[form]
    place = data.draw(st.integers(0, len(record) - 1))
    flipped = bytearray(record)
    flipped[place] ^= data.draw(st.integers(1, 255))
    before, after = admitted(record), admitted(bytes(flipped))
    assert before is not None
    if after is not None:  # the envelope may be written in another way, or a signature's other form
        assert after.statement.raw == before.statement.raw
        assert after.seal.certificate.fingerprint == before.seal.certificate.fingerprint
        assert [one.leader for one in after.leaders] == [one.leader for one in before.leaders]


def test_every_changed_byte_of_a_small_record() -> None:
    """All places, three changes each; the statement's own bytes admit none."""
    fields = document(SENDER, "1", ["H38"], "x", signed_ms=NOW_MS, issued=date(2026, 1, 1))
    raw = encode("document", fields)
    record = sign_record(raw, [WORLD.seal.signing_key])
    begin = record.index(raw)
    assert admitted(record) is not None
    for place in range(len(record)):
        for change in (1, 0x80, 0xFF):
            after = admitted(record[:place] + bytes([record[place] ^ change]) + record[place + 1 :])
            if after is not None:
                assert not begin <= place < begin + len(raw)
                assert (after.statement.raw, after.seal.agency) == (raw, SENDER)


@given(st.binary(max_size=200))
def test_any_bytes_as_cms(value: bytes) -> None:
    assert admitted(wrap_cms(WORLD.raw(), value, WORLD.seal.certificate)) is None


@cache
def detached() -> bytes:
    """A CMS with signed attributes, as a token makes it."""
    certificate = x509.load_der_x509_certificate(WORLD.seal.certificate)
    key = WORLD.seal.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"content").add_signer(certificate, key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCerts]
    return builder.sign(serialization.Encoding.DER, options)


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4))
def test_damaged_cms(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(detached())
    for place, value in changes:
        damaged[place % len(damaged)] = value
    certificate = WORLD.trust.signer(WORLD.seal.fingerprint, NOW_MS).certificate
    if bytes(damaged) == detached():
        check_cms(certificate, bytes(damaged), b"content")
    else:
        with contextlib.suppress(Rejected):
            check_cms(certificate, bytes(damaged), b"content")
    with pytest.raises(Rejected):
        check_cms(certificate, bytes(damaged), b"another content")


@given(st.integers(1, 200), st.data())
def test_paths_lead_to_the_root(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([n % 256, n // 256])) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    assert root_from_path(leaves[index], index, size, paths(leaves)[index]) == root(leaves)
