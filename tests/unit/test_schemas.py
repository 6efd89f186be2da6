"""The schemas: every version of a kind can be read as its neighbours, both ways, so parties upgrade in any order."""

from __future__ import annotations

import io
import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError

from exchange.statements import KINDS, Fields
from exchange.statements.compose import document, report, status

FOLDER = Path(__file__).parents[2] / "schemas"
NAMES = sorted(path.name for path in FOLDER.iterdir())

DOCUMENT = document("H26", "1", ["H29"], "x", signed_ms=1, issued=date(2022, 11, 1))
SAMPLES: dict[str, Fields] = {
    "document": DOCUMENT,
    "status": status("H29", "s", DOCUMENT, 1, signed_ms=2, document_append_ms=1, thread="H26/1"),
    "report": report("H26", "r", "KTXH", "2022-11", [("a", "%", 1.5)], signed_ms=1),
}


AGENCY: Fields = {
    "code": "H26", "version": 1, "name": "Hà Nội", "level": 2, "form": "province", "parent": None, "other_codes": [],
    "valid_from": 0, "valid_to": None, "successors": [],
}  # fmt: skip
DIRECTORY: Fields = {"id": "1", "sender": "G00", "signed_ms": 1, "entries": [("vn.exchange.Agency", AGENCY)]}


def versions(name: str) -> list[Any]:
    """The schemas of a name, oldest first."""
    paths = sorted((FOLDER / name).glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def carry(sample: Fields, writer: Any, reader: Any) -> Any:  # noqa: ANN401
    """Write with one schema, read with another."""
    data = io.BytesIO()
    schemaless_writer(data, parse_schema(writer), sample)
    data.seek(0)
    return schemaless_reader(data, parse_schema(writer), parse_schema(reader))


def assert_compatible(sample: Fields, one: Any, other: Any) -> None:  # noqa: ANN401
    """Both ways."""
    newer = carry(sample, one, other)
    assert carry(newer, other, one) is not None


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_numbered_without_a_gap(name: str) -> None:
    numbers = sorted(int(path.stem[1:]) for path in (FOLDER / name).glob("v*.avsc"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_neighbouring_versions_read_each_other(name: str) -> None:
    known = versions(name)
    assert name in SAMPLES, "a kind that may be submitted needs a sample here"
    for one, other in pairwise([*known, known[-1]]):
        assert_compatible(SAMPLES[name], one, other)


def test_neighbouring_versions_of_the_directory_read_each_other_where_both_know_the_entries() -> None:
    for one, other in pairwise(versions("directory")):
        assert_compatible(DIRECTORY, one, other)


def test_a_field_added_with_a_default_is_compatible() -> None:
    [first, *_] = versions("document")
    second = {**first, "fields": [*first["fields"], {"name": "place", "type": "string", "default": ""}]}
    assert_compatible(SAMPLES["document"], first, second)


def test_a_field_added_without_a_default_is_caught() -> None:
    [first, *_] = versions("document")
    second = {**first, "fields": [*first["fields"], {"name": "place", "type": "string"}]}
    with pytest.raises(SchemaResolutionError):
        assert_compatible(SAMPLES["document"], first, second)


@pytest.mark.parametrize("name", NAMES)
def test_every_record_says_what_it_is(name: str) -> None:
    for one in versions(name):
        assert one["doc"]
        assert one["namespace"] == "vn.exchange"
