"""Avro single-object encoding: bytes to (schema, fields) and back.

Guarantees: any bytes become a value or `Rejected`; the bytes themselves are never rewritten (a statement is
signed as sent). Logical types are read as the plain numbers that they are on the wire (milliseconds since
1970 UTC, days since 1970), which the schemas' documentation names; converting them is the reader's business.

Source: Avro 1.12 specification, "Single-object encoding" and "Parsing Canonical Form".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fastavro import parse_schema
from fastavro.schema import fingerprint, to_parsing_canonical_form

from exchange.errors import InvariantBroken, Rejected
from exchange.statements.compiled import DAMAGED, UNFIT, Codec, Cut, compile_codec, compile_cut

MAGIC = b"\xc3\x01"
PREFIX_BYTES = 10

Fields = dict[str, Any]
"""A decoded record: field name to plain value, as ``schemas/<name>/v<n>.avsc`` says."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of one schema. `prefix`: the 10 bytes that begin everything written with it. `source`: JSON."""

    name: str
    version: int
    prefix: bytes
    source: str = field(repr=False)
    codec: Codec = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """CRC-64-AVRO in the byte order of the prefix, 16 hex digits."""
        return self.prefix[len(MAGIC) :].hex()

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """Write `fields`; InvariantBroken if they don't fit, for only our own code writes."""
        try:
            return self.codec.write(fields)
        except UNFIT as exc:
            raise InvariantBroken(f"{self.name} v{self.version} can't hold its fields: {exc!r}") from exc

    def cut(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """The bytes of a record's last field's items, and of all that stands before that field, without the prefix.

        For a schema that ends with an array. Raises: Rejected ``avro.truncated``: the bytes are damaged.
        """
        try:
            begin, items = _cut_of(self)(data, PREFIX_BYTES)
        except DAMAGED as exc:
            raise Rejected("avro.truncated", f"{self.name} v{self.version}: {exc!r}") from exc
        return data[PREFIX_BYTES:begin], items

    def decode(self, data: bytes) -> Fields:
        """Read a record that is known to be of this schema (its prefix is not looked at).

        Raises: Rejected ``avro.truncated``, ``avro.trailing_bytes``: the bytes are damaged.
        """
        try:
            fields, end = self.codec.read(data, PREFIX_BYTES)
        except DAMAGED as exc:
            raise Rejected("avro.truncated", f"{self.name} v{self.version}: {exc!r}") from exc
        if end != len(data):
            code = "avro.truncated" if end > len(data) else "avro.trailing_bytes"
            raise Rejected(code, f"{self.name} v{self.version}: {len(data)} bytes, {end} expected")
        return fields


def _without_logical_types(node: Any) -> Any:  # noqa: ANN401  a JSON tree
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(value) for value in node]
    return node


@cache
def _cut_of(schema: Schema) -> Cut:
    return compile_cut(parse_schema(_without_logical_types(json.loads(schema.source))))


def _folder() -> Path:
    packed = resources.files("exchange") / "_schemas"
    folder = Path(str(packed))
    return folder if folder.is_dir() else Path(__file__).parents[2] / "schemas"


@cache
def schemas() -> dict[bytes, Schema]:
    """Every schema that we know, by its 10-byte prefix."""
    known: dict[bytes, Schema] = {}
    for path in sorted(_folder().glob("*/v*.avsc")):
        text = path.read_text(encoding="utf-8")
        source = json.loads(text)
        crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(source), "CRC-64-AVRO"))
        codec = compile_codec(parse_schema(_without_logical_types(source)), MAGIC + crc)
        schema = Schema(path.parent.name, int(path.stem[1:]), MAGIC + crc, text, codec)
        known[schema.prefix] = schema
    return known


@cache
def schema(name: str, version: int = 0) -> Schema:
    """The schema of that name; `version` 0 means the newest."""
    found = [s for s in schemas().values() if s.name == name and version in (0, s.version)]
    if not found:
        raise InvariantBroken(f"no schema {name} v{version}")
    return max(found, key=lambda s: s.version)


def identify(data: bytes) -> Schema:
    """Tell which schema the bytes name.

    Raises: Rejected ``avro.not_avro`` (no single-object prefix), ``avro.unknown_schema``.
    """
    found = schemas().get(data[:PREFIX_BYTES])
    if found is not None:
        return found
    if data[:2] != MAGIC or len(data) < PREFIX_BYTES:
        raise Rejected("avro.not_avro", f"begins with {data[:2].hex() or 'nothing'}")
    raise Rejected("avro.unknown_schema", data[2:PREFIX_BYTES].hex())
