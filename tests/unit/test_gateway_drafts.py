"""Drafts, and records that come in their parts: what openssl signs over a draft is what the gate verifies."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from exchange.errors import ExchangeError
from exchange.gateway.bodies import JSON, records_in
from exchange.gateway.drafts import DocumentDraft, StatusDraft, drafted
from exchange.signatures import SigningKey, admit, decode_record, sign_record
from exchange.statements import KINDS, identify
from exchange.statements.compose import encode
from tests.support.signing import NOW_MS, OTHER, SENDER, World

DRAFTS: TypeAdapter[DocumentDraft | StatusDraft] = TypeAdapter(DocumentDraft | StatusDraft)
DOCUMENT = {"kind": "document", "to": [OTHER], "subject": "Kế hoạch"}


@pytest.fixture
def world() -> World:
    return World()


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def parts(raw: bytes, key: SigningKey, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    signature = {"algorithm": key.algorithm, "certificate": key.certificate.hex(), "value": text(key.sign(raw))}
    return {"statement": text(raw), "signatures": [signature | changes]}


def taken(*told: object) -> list[bytes]:
    return records_in(json.dumps(told).encode(), JSON, 10)


def test_a_draft_signed_and_sent_in_parts_passes_the_gate(world: World) -> None:
    statement_id, raw = drafted(DRAFTS.validate_python(DOCUMENT), SENDER, NOW_MS)
    [record] = taken(parts(raw, world.seal.signing_key))
    admitted = admit(record, NOW_MS, world.trust, storage_keys=None).statement
    assert (admitted.fields["id"], admitted.fields["to"]) == (statement_id, [OTHER])
    assert decode_record(record)["statement"] == raw
    other = parts(raw, world.other_seal.signing_key)
    forged = {"signatures": [other["signatures"][0] | {"certificate": world.seal.fingerprint.hex()}]}
    with pytest.raises(ExchangeError, match=r"signature\.invalid"):
        admit(taken(other | forged)[0], NOW_MS, world.trust, storage_keys=None)


def test_the_same_id_and_time_are_the_same_bytes() -> None:
    draft = DRAFTS.validate_python(DOCUMENT | {"id": "one"})
    assert drafted(draft, SENDER, NOW_MS) == drafted(draft, SENDER, NOW_MS)


def test_a_status_names_what_was_delivered(world: World) -> None:
    _, raw = drafted(DRAFTS.validate_python(DOCUMENT), SENDER, NOW_MS)
    told = {"kind": "status", "record": text(sign_record(raw, [world.seal.signing_key])), "append_ms": 7, "code": 1}
    _, status = drafted(DRAFTS.validate_python(told), OTHER, NOW_MS)
    said, about = identify(status).decode(status), identify(raw).decode(raw)
    assert (said["sender"], said["recipient"], said["code"]) == (OTHER, OTHER, 1)
    assert said["document"] == {"sender": SENDER, "id": about["id"]}
    assert said["thread"] == KINDS["document"].key(about)
    about_a_status = text(sign_record(encode("status", said), [world.seal.signing_key]))
    for record, code in ((about_a_status, "statement.kind_not_accepted"), ("noise!", "request.malformed")):
        with pytest.raises(ExchangeError) as caught:
            drafted(DRAFTS.validate_python(told | {"record": record}), OTHER, NOW_MS)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "??"}, "document.type_unknown"),
        ({"to": []}, "recipients.empty"),
        ({"urgency": 9}, "document.urgency"),
        ({"subject": ""}, "text.empty"),
        ({"id": "không"}, "text.identifier"),
    ],
)
def test_a_draft_keeps_the_rules(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        drafted(DRAFTS.validate_python(DOCUMENT | changes), SENDER, NOW_MS)
    assert caught.value.code == code


@pytest.mark.parametrize("changes", [{"secrecy": "mat"}, {"subject": "\ud800"}, {"to": ["\ud800"]}, {"urgency": 2**31}])
def test_what_nobody_knows_or_can_write_is_not_passed_over(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DRAFTS.validate_python(DOCUMENT | changes)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"statement": "AAAA"},
        {"statement": 7, "signatures": []},
        {"statement": "AAAA", "signatures": {}},
        {"statement": "AAAA", "signatures": [{"algorithm": "none", "certificate": "0" * 64, "value": ""}]},
        {"statement": "AAAA", "signatures": [{"algorithm": [], "certificate": "0" * 64, "value": ""}]},
        {"statement": "AAAA", "signatures": [{"algorithm": "cms", "certificate": "0" * 63, "value": ""}]},
        {"statement": "AAAA", "signatures": [7]},
        {"statement": "AAAA", "signatures": [], "storage": [{"sha256": "0" * 64, "size": True}]},
        {"statement": "AAAA", "signatures": [], "storage": [{"sha256": "0" * 64, "size": 2**63}]},
        7,
        None,
    ],
)
def test_parts_that_are_none(told: object) -> None:
    with pytest.raises(ExchangeError) as caught:
        taken(told)
    assert caught.value.code == "request.malformed"


def test_parts_within_the_records_limits() -> None:
    with pytest.raises(ExchangeError, match=r"signature\.missing"):
        taken({"statement": "AAAA", "signatures": []})
    large = {"algorithm": "cms", "certificate": "0" * 64, "value": text(bytes(70_000))}
    with pytest.raises(ExchangeError, match=r"record\.too_large"):
        taken({"statement": "AAAA", "signatures": [large]})
