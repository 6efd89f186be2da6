"""The two topics that the exchange is founded on: the registrar's directory, and the schemas.

Guarantees: a directory record that is missing between two others, altered, said twice or out of order is named; one
missing at the end shows by the first event that names it. What isn't the registrar's word isn't applied. A record of
the schemas holds, under the fingerprint of that text, the very text that this version reads by; their order means
nothing.

Source: ids and times as `exchange.backbone.directory_log` writes them; Avro 1.12, "Schema fingerprints".
"""

from __future__ import annotations

from hashlib import sha256

from exchange.agencies import Directory
from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Source
from exchange.auditor.findings import Findings
from exchange.auditor.own_word import Voice, open_word
from exchange.errors import Rejected
from exchange.statements import Fields, schema, schemas
from exchange.statements.directory import ENTRIES_PER_STATEMENT, entries_of

DIRECTORY, SCHEMAS = "directory", "schemas"


def read_directory(source: Source, registrar: Voice, findings: Findings) -> Directory:
    """The directory from its topic."""
    directory = Directory()
    seen: dict[bytes, int] = {}
    before: tuple[int, int] | None = None
    for read in source.read(DIRECTORY, 0):
        at = Coordinates(DIRECTORY, 0, read.offset)
        if read.offset > directory.next_offset:
            sentence = f"nothing is kept at {directory.next_offset} to {read.offset - 1}"
            findings.add("audit.missing_entry", Coordinates(DIRECTORY, 0, directory.next_offset), sentence)
        try:
            fields = open_word(read.value, "directory", registrar)
            entries = entries_of(fields)
        except Rejected as exc:
            findings.add("audit.forged_entry", at, str(exc))
            directory.apply(read.offset, [])
            continue
        digest = sha256(schema("record").decode(read.value)["statement"]).digest()
        said = _said(fields)
        if digest in seen:
            findings.add("audit.repeated_entry", at, f"as at {seen[digest]}", fields["id"])
        elif before is not None and said < before:
            findings.add("audit.entry_out_of_order", at, f"signed before the one at {read.offset - 1}", fields["id"])
        elif said[1] and before != (said[0], said[1] - ENTRIES_PER_STATEMENT):
            findings.add("audit.missing_entry", at, "what the registrar said right before it isn't there", fields["id"])
        seen.setdefault(digest, read.offset)
        before = max(said, before or said)
        directory.apply(read.offset, entries)
    return directory


def check_schemas(source: Source, findings: Findings) -> None:
    """Compare the topic of schemas with those that this version knows."""
    known = {one.fingerprint.encode(): one for one in schemas().values()}
    found: set[bytes] = set()
    for read in source.read(SCHEMAS, 0):
        at, key = Coordinates(SCHEMAS, 0, read.offset), read.key or b""
        one = known.get(key)
        if one is None:
            findings.add("audit.surplus_schema", at, f"key {key[:40]!r}")
        elif read.value != one.source.encode():
            findings.add("audit.altered_schema", at, f"{one.name} v{one.version}")
        else:
            found.add(key)
    for key in known.keys() - found:
        one = known[key]
        findings.add("audit.missing_schema", Coordinates(SCHEMAS, 0, 0), f"{one.name} v{one.version}, key {key!r}")


def _said(fields: Fields) -> tuple[int, int]:
    """When the registrar signed a record, and its place among those signed at once, in entries."""
    _, _, place = fields["id"].rpartition("-")
    return fields["signed_ms"], int(place) if place.isdigit() else 0
