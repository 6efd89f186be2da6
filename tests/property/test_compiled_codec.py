"""The compiled codecs against fastavro: the same bytes, the same values, and nothing read that it can't read."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import InvariantBroken, Rejected
from exchange.statements import Fields, schema, schemas
from exchange.statements.codec import PREFIX_BYTES, Schema
from exchange.statements.compiled import DAMAGED, compile_codec

SCHEMAS = sorted(schemas().values(), key=lambda one: (one.name, one.version))
DAMAGE = (EOFError, IndexError, ValueError, OverflowError, TypeError, KeyError, MemoryError)


def plain(node: Any) -> Any:  # noqa: ANN401  a JSON tree
    """A schema without logical types."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != "logicalType"}
    return [plain(value) for value in node] if isinstance(node, list) else node


def reference(one: Schema) -> Any:  # noqa: ANN401
    """The schema as fastavro wants it."""
    return parse_schema(plain(json.loads(one.source)))


def values(node: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:  # noqa: ANN401
    """Any value of a schema; of a union with several records with the name of its branch."""
    if isinstance(node, str) and node in named:
        return values(named[node], named)
    if isinstance(node, list):
        several = sum(isinstance(branch, dict) and branch["type"] == "record" for branch in node) > 1
        branches = [values(branch, named) for branch in node]
        if several:
            branches = [st.tuples(st.just(branch["name"]), made) for branch, made in zip(node, branches, strict=True)]
        return st.one_of(branches)
    kind = node["type"] if isinstance(node, dict) else node
    if isinstance(node, dict) and isinstance(kind, (dict, list)):
        return values(kind, named)
    if isinstance(node, dict) and "name" in node:
        named[node["name"]] = node
    match kind:
        case "record":
            return st.fixed_dictionaries({field["name"]: values(field["type"], named) for field in node["fields"]})
        case "array":
            return st.lists(values(node["items"], named), max_size=3)
        case "enum":
            return st.sampled_from(node["symbols"])
        case "fixed":
            return st.binary(min_size=node["size"], max_size=node["size"])
        case "string":
            return st.text(st.characters(codec="utf-8"), max_size=80)
        case "bytes":
            return st.binary(max_size=80)
        case "int":
            return st.integers(-(2**31), 2**31 - 1)
        case "long":
            return st.integers(-(2**63), 2**63 - 1)
        case "double":
            return st.floats(allow_nan=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    raise AssertionError(kind)


def unnamed(value: Any) -> Any:  # noqa: ANN401
    """A value as it reads back: without the names of branches."""
    if isinstance(value, tuple):
        return unnamed(value[1])
    if isinstance(value, dict):
        return {key: unnamed(inner) for key, inner in value.items()}
    return [unnamed(inner) for inner in value] if isinstance(value, list) else value


def by_fastavro(one: Schema, data: bytes) -> tuple[Fields, int]:
    """Read, and say where it ended."""
    source = io.BytesIO(data)
    source.seek(PREFIX_BYTES)
    return cast(Fields, schemaless_reader(source, reference(one), None)), source.tell()


@pytest.mark.parametrize("one", SCHEMAS, ids=lambda one: f"{one.name}-v{one.version}")
@given(data=st.data())
def test_writes_and_reads_what_fastavro_does(one: Schema, data: st.DataObject) -> None:
    parsed = reference(one)
    fields = data.draw(values(parsed, {}))
    out = io.BytesIO()
    schemaless_writer(out, parsed, fields)
    written = one.encode(fields)
    assert written == one.prefix + out.getvalue()
    assert one.decode(written) == unnamed(fields)


@pytest.mark.parametrize("one", SCHEMAS, ids=lambda one: f"{one.name}-v{one.version}")
@given(data=st.data())
def test_reads_damaged_bytes_as_fastavro_does_or_refuses_them(one: Schema, data: st.DataObject) -> None:
    written = bytearray(one.encode(data.draw(values(reference(one), {}))))
    for place in data.draw(st.lists(st.integers(PREFIX_BYTES, len(written)), min_size=1, max_size=3)):
        written[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    damaged = bytes(written)
    try:
        fields = one.decode(damaged)
    except Rejected as rejected:
        assert rejected.code in {"avro.truncated", "avro.trailing_bytes"}  # noqa: PT017  either outcome is fine
        return
    assert by_fastavro(one, damaged) == (fields, len(damaged))


@given(body=st.binary(max_size=200))
def test_refuses_hardly_more_than_fastavro_does(body: bytes) -> None:
    """What it refuses and fastavro reads breaks Avro's rules: a number beyond its type, a boolean that is neither."""
    one = schema("report")
    try:
        by_fastavro(one, one.prefix + body)
    except DAMAGE:
        with pytest.raises(Rejected):
            one.decode(one.prefix + body)


BOMBS = {
    "an array without end": ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 4}}, b"\xfe\xff\x0f"),
    "a string beyond the end": ("string", b"\xfe\xff\xff\xff\x0f"),
    "a string of negative length": ("string", b"\x01"),
    "a number without end": ("long", b"\xff" * 11),
    "a number of 70 bits": ("long", b"\xff" * 9 + b"\x7f"),
    "an int of 33 bits": ("int", b"\x80\x80\x80\x80\x20"),
    "a branch that isn't there": (["null", "string"], b"\x04"),
    "a branch below zero": (["null", "string"], b"\x01"),
    "an enum's symbol that isn't there": ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02"),
    "an enum's symbol below zero": ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x01"),
    "a boolean that is neither": ("boolean", b"\x02"),
    "text that isn't UTF-8": ("string", b"\x02\xff"),
    "half a double": ("double", b"\0\0"),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused(bomb: str) -> None:
    type_, body = BOMBS[bomb]
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]}
    codec = compile_codec(parse_schema(record), b"")
    try:
        _, end = codec.read(body, 0)
    except DAMAGED:
        return
    assert end > len(body), "only an end beyond the bytes may come back"


def test_blocks_that_say_their_size_are_read() -> None:
    """Avro 1.12, "Arrays": a block with a negative count; ours are never written so."""
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": {"type": "array", "items": "string"}}]}
    codec = compile_codec(parse_schema(record), b"")
    assert codec.read(b"\x03\x08\x02a\x02b\x02\x02c\x00", 0) == ({"f": ["a", "b", "c"]}, 10)


@pytest.mark.parametrize("type_", [{"type": "map", "values": "string"}, {"type": "array", "items": "null"}], ids=str)
def test_what_it_does_not_know_is_our_bug(type_: Any) -> None:  # noqa: ANN401
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]}
    with pytest.raises(InvariantBroken):
        compile_codec(parse_schema(record), b"")


@pytest.mark.parametrize(
    "changes",
    [{"code": None}, {"code": "1"}, {"code": 2**31}, {"document_append_ms": 2**63}, {"id": b"x"}, {"staff": "x"}],
    ids=str,
)
def test_a_value_of_another_type_is_our_bug(changes: Fields) -> None:
    fields = {
        "id": "1", "sender": "H26", "thread": "H26/1", "document": {"sender": "H26", "id": "1"},
        "document_append_ms": 1, "recipient": "H29", "signed_ms": 1, "code": 1, "reason": "", "staff": None,
        "extension": None,
    }  # fmt: skip
    assert schema("status").encode(fields)
    with pytest.raises(InvariantBroken):
        schema("status").encode(fields | changes)
