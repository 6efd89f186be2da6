"""Who signs: leaders where the document asks for one, tokens that make a CMS, one signature for a whole batch."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from exchange.agencies.levels import Level
from exchange.local.enrolment import seal_of
from exchange.local.founding import now_ms
from exchange.local.simulation.hostile import Bad
from exchange.signatures import sign_batch, wrap_cms
from exchange.statements import DOCUMENT, Fields
from exchange.statements.compose import encode
from tests.support.running import Exchange


def led(exchange: Exchange) -> tuple[Fields, list[str]]:
    member = exchange.member(Level.PROVINCE, 0)
    assert member.leader is not None
    to = [exchange.member(Level.DISTRICT).agency.code]
    signer = {"name": member.leader.name, "position": member.leader.position, "leader": member.leader.id}
    return exchange.document(member, to, signer=signer), to


def test_a_required_leaders_signature_cannot_be_stripped(exchange: Exchange) -> None:
    member = exchange.member(Level.PROVINCE, 0)
    assert member.leader_key is not None
    (fields, to), (other, _) = led(exchange), led(exchange)
    whole = exchange.prepare("document", fields, member, keys=[member.leader_key, member.key])
    stripped = exchange.prepare("document", other, member)
    signed, missing = exchange.fates(exchange.submit_all([whole, stripped]))
    assert signed.recipients == to
    assert missing.event["code"] == "signature.leader_missing"
    assert missing.deliveries == []


def test_a_batch_under_one_signature_is_a_thousand_documents_each_verifiable_alone(exchange: Exchange) -> None:
    sender, to = exchange.member(Level.PROVINCE, 7), [exchange.member(Level.DISTRICT).agency.code]
    documents = [exchange.document(sender, to) for _ in range(1000)]
    raws = [encode("document", fields) for fields in documents]
    records = sign_batch(raws, sender.key, sender.agency.code, now_ms())
    stream = [
        Bad("", DOCUMENT.topic(fields), DOCUMENT.key(fields).encode(), record, told=False)
        for fields, record in zip(documents, records, strict=True)
    ]
    fates = exchange.fates(exchange.submit_all(stream))
    assert {fate.event["outcome"] for fate in fates} == {"accepted"}
    assert all(fate.recipients == to for fate in fates)


def test_a_statement_that_a_token_signed_as_detached_cms_is_accepted(exchange: Exchange, tmp_path: Path) -> None:
    member = exchange.member(Level.PROVINCE, 8)
    seal = seal_of(exchange.world.authority, member.agency)
    fields = exchange.document(member, [exchange.member(Level.DISTRICT).agency.code])
    raw = encode("document", fields)
    detached = openssl_sign(tmp_path, raw, seal.certificate, serialize(seal.private_key))
    record = wrap_cms(raw, detached, seal.certificate)
    good = Bad("", DOCUMENT.topic(fields), DOCUMENT.key(fields).encode(), record, told=False)
    changed = good._replace(value=record.replace("thử nghiệm".encode(), "thử nghiêm".encode()))
    assert changed.value != record
    first, second = exchange.fates(exchange.submit_all([changed, good]))
    assert first.event["outcome"] == "rejected"
    assert first.deliveries == []
    assert second.event["outcome"] == "accepted"


def serialize(key: object) -> bytes:
    pem: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def openssl_sign(folder: Path, message: bytes, certificate: bytes, key: bytes) -> bytes:
    """What a signing token makes: CMS with signed attributes, without the content."""
    pem = x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM)
    for name, content in (("m", message), ("crt", pem), ("key", key)):
        (folder / name).write_bytes(content)
    command = "openssl cms -sign -binary -md sha256 -in m -signer crt -inkey key -outform DER -out sig"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return (folder / "sig").read_bytes()
