"""Any bytes become a value or `Rejected`; what was encoded reads back; the fingerprints are Avro's."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from fastavro.schema import to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import InvariantBroken, Rejected
from exchange.statements import identify, schema, schemas
from exchange.statements.codec import MAGIC
from exchange.statements.compose import document, report, status

NAMES = sorted({s.name for s in schemas().values()})


def rabin(data: bytes) -> int:
    """CRC-64-AVRO, written from the specification's pseudo-code."""
    empty = 0xC15D213AA4D7A795
    fingerprints = []
    for i in range(256):
        fp = i
        for _ in range(8):
            fp = (fp >> 1) ^ (empty & -(fp & 1))
        fingerprints.append(fp)
    value = empty
    for byte in data:
        value = (value >> 8) ^ fingerprints[(value ^ byte) & 0xFF]
    return value


@pytest.mark.parametrize("path", sorted(Path("schemas").glob("*/v*.avsc")), ids=str)
def test_the_prefix_is_the_schemas_fingerprint_little_endian(path: Path) -> None:
    source = json.loads(path.read_text(encoding="utf-8"))
    expected = MAGIC + rabin(to_parsing_canonical_form(source).encode()).to_bytes(8, "little")
    assert schema(path.parent.name, int(path.stem[1:])).prefix == expected


@pytest.mark.parametrize("name", NAMES)
@given(body=st.binary(max_size=300))
def test_any_bytes_become_a_value_or_rejected(name: str, body: bytes) -> None:
    data = schema(name).prefix + body
    try:
        fields = identify(data).decode(data)
    except Rejected as rejected:
        assert rejected.code.startswith("avro.")  # noqa: PT017  either outcome is fine
    else:
        assert isinstance(fields, dict)


@given(st.binary(max_size=64))
def test_bytes_without_a_known_prefix_are_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        identify(data)
    assert refused.value.code in {"avro.not_avro", "avro.unknown_schema"}


@given(
    st.text(st.characters(codec="utf-8"), max_size=50),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=10), max_size=5),
)
def test_a_document_reads_back(text: str, to: list[str]) -> None:
    fields = document("H26", "1", to, text, signed_ms=1, issued=date(2022, 11, 1))
    assert schema("document").decode(schema("document").encode(fields)) == fields


def test_a_status_and_a_report_read_back() -> None:
    about = document("H26", "1", ["H29"], "x", signed_ms=1, issued=date(2022, 11, 1))
    said = status("H29", "s", about, 1, signed_ms=2, document_append_ms=1, thread="H26/1")
    assert schema("status").decode(schema("status").encode(said)) == said
    figures = report(
        "H26",
        "r",
        "KTXH",
        "2022-11",
        [("a", "%", 1.5), ("b", "", 3), ("c", "", "x"), ("d", "", True)],
        signed_ms=1,
    )
    assert schema("report").decode(schema("report").encode(figures)) == figures


@given(st.integers(0, 250))
def test_truncated_and_trailing_bytes_are_refused(cut: int) -> None:
    raw = schema("document").encode(document("H26", "1", ["H29"], "x" * 200, signed_ms=1, issued=date(2022, 11, 1)))
    with pytest.raises(Rejected) as refused:
        schema("document").decode(raw[: len(raw) - 1 - cut])
    assert refused.value.code in {"avro.truncated", "avro.trailing_bytes"}
    with pytest.raises(Rejected) as refused:
        schema("document").decode(raw + b"\0")
    assert refused.value.code == "avro.trailing_bytes"


def test_fields_that_do_not_fit_are_our_bug() -> None:
    with pytest.raises(InvariantBroken):
        schema("status").encode({"id": 3})
