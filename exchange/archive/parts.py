"""What of a record falls under which statement's key, and what stays when that is destroyed.

Guarantees: a record that is taken apart and put together again with all its keys has the same bytes; that is checked
when it is taken apart. Of a trace record there stays the same record without the texts that a sender or recipient
wrote (a document's number, type and subject; a status's reason); of any other record nothing stays but its key and
place.

Pure. A statement is named by the SHA-256 of its bytes: the same bytes, wherever they come by, are erased with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from exchange.errors import InvariantBroken, Rejected
from exchange.pipeline.books import TRACE
from exchange.statements import SUBMISSION_TOPICS, Fields, identify, schema
from exchange.statements.codec import Schema

DEAD_LETTERS = "dead-letters"

_SUMMARY_TEXTS = ("code", "type", "subject")
_STATUS_TEXTS = ("reason",)


class Part(NamedTuple):
    """What is sealed under one statement's key. `at`: of a trace record, which event it is of; else 0."""

    at: int
    statement: bytes
    data: bytes


class Parts(NamedTuple):
    """A record taken apart. `clear`: what stays; empty if nothing does."""

    clear: bytes
    sealed: list[Part]


def take_apart(topic: str, value: bytes) -> Parts:
    """Take a record of a topic apart. Raises: InvariantBroken: a trace record that isn't the hop's."""
    if topic == TRACE:
        return _take_trace_apart(value)
    return Parts(b"", [Part(0, statement_of(topic, value), value)])


def put_together(topic: str, clear: bytes, parts: Mapping[int, bytes]) -> bytes | None:
    """The record's value with the parts that are there; None if nothing of it is left."""
    if topic != TRACE:
        return parts.get(0)
    if not parts:
        return clear
    found = identify(clear)
    record = found.decode(clear)
    for at, data in parts.items():
        _fill(record["events"][at], json.loads(data))
    return found.encode(record)


def statement_of(topic: str, value: bytes) -> bytes:
    """The SHA-256 of the statement in a submission, a dead letter or a delivery; of the value if none can be read."""
    try:
        if topic in SUBMISSION_TOPICS:
            record = value
        elif topic == DEAD_LETTERS:
            record = schema("dead_letter").decode(value)["value"]
        else:
            record = schema("delivery").decode(value)["record"]
    except Rejected as exc:
        raise InvariantBroken(f"a record of {topic} that isn't the hop's: {exc}") from exc
    try:
        found = identify(record)
        if found.name != "record":
            raise Rejected("record.not_a_record", found.name)
        return sha256(found.decode(record)["statement"]).digest()
    except Rejected:
        return sha256(record).digest()


def _take_trace_apart(value: bytes) -> Parts:
    found = _trace(value)
    record = found.decode(value)
    sealed = []
    for at, event in enumerate(record["events"]):
        texts = _texts(event)
        if any(texts):
            if event["sha256"] is None:
                raise InvariantBroken("an event with texts and without a statement")
            sealed.append(Part(at, event["sha256"], json.dumps(texts, ensure_ascii=False).encode()))
            _fill(event, [""] * len(texts))
    clear = found.encode(record)
    if put_together(TRACE, clear, {part.at: part.data for part in sealed}) != value:
        raise InvariantBroken("a trace record that isn't the same when put together again")
    return Parts(clear, sealed)


def _trace(value: bytes) -> Schema:
    try:
        found = identify(value)
    except Rejected as exc:
        raise InvariantBroken(f"a trace record that can't be read: {exc}") from exc
    if found.name != "trace":
        raise InvariantBroken(f"a record of schema {found.name} among the trace")
    return found


def _texts(event: Fields) -> list[str]:
    return [part[name] for part, name in _written(event)]


def _fill(event: Fields, texts: list[Any]) -> None:
    for (part, name), text in zip(_written(event), texts, strict=True):
        part[name] = text


def _written(event: Fields) -> list[tuple[Fields, str]]:
    """The places of an event that hold what a sender or recipient wrote."""
    summary, status = event["summary"], event["status"]
    found = [] if summary is None else [(summary, name) for name in _SUMMARY_TEXTS]
    return found + ([] if status is None else [(status, name) for name in _STATUS_TEXTS])
