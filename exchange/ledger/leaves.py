"""From trace records to leaves: each event, as the trace holds it, with its coordinates in front.

Guarantees: a leaf's bytes are ``schemas/ledger_leaf``, of the version that its trace record has, and hold the event's
own bytes, never re-serialised; the tree holds only SHA-256(salt ‖ leaf), so once its salt is destroyed an event can't
even be guessed from the tree.

Source: Avro 1.12, "Binary encoding". Whatever can't be read is our own bug, for only the hop writes the trace.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from itertools import groupby
from typing import Any

from exchange.errors import InvariantBroken, Rejected
from exchange.statements import schema
from exchange.statements.codec import PREFIX_BYTES, Schema, identify

SALT_BYTES = 16
ENTRY_BYTES = 32

Skip = Callable[[bytes, int], int]
"""Where a value that begins at a place ends."""

_EVENTS = "events"


def leaves(partition: int, offset: int, value: bytes) -> list[bytes]:
    """The leaves of a trace record (of the trace's own partition and offset), in its order.

    Raises: InvariantBroken: it is no trace record.
    """
    try:
        found = identify(value)
        if found.name != "trace":
            raise InvariantBroken(f"a record of schema {found.name} among the trace")
        prefix = schema("ledger_leaf", found.version).prefix
        skip_head, skip_event = _skips(found)
        head_end = skip_head(value, PREFIX_BYTES)
        events = _items(value, head_end, skip_event)
    except (IndexError, ValueError, Rejected) as exc:
        raise InvariantBroken(f"the trace record {partition}/{offset} can't be read: {exc!r}") from exc
    place, head = prefix + _number(partition) + _number(offset), value[PREFIX_BYTES:head_end]
    return [place + _number(index) + head + event for index, event in enumerate(events)]


def salted(salt: bytes, leaf: bytes) -> bytes:
    """The log's entry for a leaf, 32 bytes."""
    return sha256(salt + leaf).digest()


def _items(data: bytes, at: int, skip: Skip) -> list[bytes]:
    """The bytes of each item of the array that the record ends with."""
    items = []
    while count := _read(data, at):
        at = _skip_number(data, at)
        if count < 0:  # then the block's size follows
            at, count = _skip_number(data, at), -count
        for _ in range(count):
            start, at = at, skip(data, at)
            items.append(data[start:at])
    if at + 1 != len(data):
        raise ValueError(f"{len(data) - at - 1} bytes after the last event")
    return items


@cache
def _skips(trace: Schema) -> tuple[Skip, Skip]:
    """What skips all that stands before the events of a trace record, and what skips one event."""
    *head, events = json.loads(trace.source)["fields"]
    if events["name"] != _EVENTS:
        raise InvariantBroken(f"{trace.name} v{trace.version} doesn't end with its events")
    named: dict[str, Any] = {}
    skip_head = _record(head, named)
    return skip_head, _skipper(events["type"]["items"], named)


def _skipper(type_: Any, named: dict[str, Any]) -> Skip:  # noqa: ANN401  a JSON tree
    """What skips a value of an Avro type."""
    if isinstance(type_, str) and type_ in named:
        type_ = named[type_]
    if isinstance(type_, list):
        return _union([_skipper(branch, named) for branch in type_], null_first=type_[0] == "null")
    if isinstance(type_, dict):
        named[type_.get("name", "")] = type_
    kind = type_["type"] if isinstance(type_, dict) else type_
    match kind:
        case "int" | "long" | "enum":
            return _numbers(1)
        case "string" | "bytes":
            return _strings(1)
        case "boolean":
            return lambda _, at: at + 1
        case "null":
            return lambda _, at: at
        case "fixed":
            size: int = type_["size"]
            return lambda _, at: at + size
        case "array":
            return _array(_skipper(type_["items"], named))
        case "record":
            return _record(type_["fields"], named)
    raise InvariantBroken(f"no leaf can hold a {kind}")


def _record(fields: list[Any], named: dict[str, Any]) -> Skip:
    """What skips fields one after another; several numbers or strings in a row are skipped in one go."""
    skips: list[Skip] = []
    for run, group in groupby(fields, key=lambda field: _RUNS.get(_plain(field["type"]))):
        found = list(group)
        skips += [_skipper(field["type"], named) for field in found] if run is None else [run(len(found))]

    def skip(data: bytes, at: int) -> int:
        for one in skips:
            at = one(data, at)
        return at

    return skip


def _plain(type_: Any) -> str:  # noqa: ANN401
    """The name of a primitive type, with a logical type or without; else nothing."""
    return str(type_.get("type") if isinstance(type_, dict) and "logicalType" in type_ else type_)


def _union(branches: list[Skip], *, null_first: bool) -> Skip:
    def skip(data: bytes, at: int) -> int:
        return branches[data[at] >> 1](data, at + 1)

    def skip_unless_null(data: bytes, at: int) -> int:
        return branches[data[at] >> 1](data, at + 1) if data[at] else at + 1

    return skip_unless_null if null_first else skip


def _array(skip_item: Skip) -> Skip:
    def skip(data: bytes, at: int) -> int:
        while count := _read(data, at):
            at = _skip_number(data, at)
            if count < 0:
                at, count = _skip_number(data, at), -count
            for _ in range(count):
                at = skip_item(data, at)
        return at + 1

    return skip


def _skip_number(data: bytes, at: int) -> int:
    while data[at] > 0x7F:
        at += 1
    return at + 1


def _numbers(count: int) -> Skip:
    def skip(data: bytes, at: int) -> int:
        for _ in range(count):
            while data[at] > 0x7F:
                at += 1
            at += 1
        return at

    return _skip_number if count == 1 else skip


def _strings(count: int) -> Skip:
    def skip(data: bytes, at: int) -> int:
        for _ in range(count):
            first = data[at]
            at = at + 1 + (first >> 1) if first < 0x80 else _skip_number(data, at) + _read(data, at)
        return at

    return skip


_RUNS: dict[str, Callable[[int], Skip]] = {"int": _numbers, "long": _numbers, "string": _strings, "bytes": _strings}


def _read(data: bytes, at: int) -> int:
    result = shift = 0
    while True:
        byte = data[at]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result >> 1 ^ -(result & 1)
        at, shift = at + 1, shift + 7


def _number(value: int) -> bytes:
    """A number that isn't below zero, as Avro writes it."""
    zigzag, out = value << 1, bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)
