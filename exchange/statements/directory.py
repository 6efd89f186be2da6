"""Directory statements: the registrar's entries to bytes and back (``schemas/directory``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from exchange.agencies.entries import (
    Agency,
    CertificateEntry,
    Entry,
    Erased,
    Erasure,
    Grant,
    Group,
    Leader,
    RevocationList,
    SettingAside,
    Suspension,
)
from exchange.agencies.levels import Level
from exchange.errors import Rejected
from exchange.statements.codec import Fields, schema

ENTRIES_PER_STATEMENT = 200
"""As many as fit well into one record; a statement is applied whole."""

_EPOCH = date(1970, 1, 1).toordinal()


def directory_statement(statement_id: str, registrar: str, signed_ms: int, entries: Sequence[Entry]) -> bytes:
    """The bytes of one directory statement, ready to be signed."""
    return schema("directory").encode(
        {
            "id": statement_id,
            "sender": registrar,
            "signed_ms": signed_ms,
            "entries": [_write(entry) for entry in entries],
        }
    )


def entries_of(fields: Fields) -> list[Entry]:
    """The entries of a decoded directory statement; Rejected ``directory.malformed``."""
    try:
        return [_read(entry) for entry in fields["entries"]]
    except (ValueError, OverflowError) as exc:
        raise Rejected("directory.malformed", repr(exc)) from exc


def _days(day: date | None) -> int | None:
    return None if day is None else day.toordinal() - _EPOCH


def _date(days: int) -> date:
    return date.fromordinal(days + _EPOCH)


def _write(entry: Entry) -> tuple[str, dict[str, Any]]:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in entry.__slots__}
    for name in ("valid_from", "valid_to"):
        if name in fields:
            fields[name] = _days(fields[name])
    for name, value in fields.items():
        if isinstance(value, tuple):
            fields[name] = [one._asdict() if isinstance(one, Erased) else one for one in value]
    return f"vn.exchange.{type(entry).__name__}", fields


def _read(fields: Fields) -> Entry:
    fields = dict(fields)
    for name in ("valid_from", "valid_to"):
        if fields.get(name) is not None:
            fields[name] = _date(fields[name])
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(Erased(**one) if isinstance(one, dict) else one for one in value)
    if fields.get("level") is not None:
        fields["level"] = Level(fields["level"])
    return _class_of(fields)(**fields)


def _class_of(fields: Fields) -> type[Entry]:
    if "certificate" in fields:
        return CertificateEntry
    if "crl" in fields:
        return RevocationList
    if "senders" in fields:
        return Group
    if "statements" in fields:
        return Erasure
    if "offset" in fields:
        return SettingAside
    if "is_suspended" in fields:
        return Suspension
    if "is_granted" in fields:
        return Grant
    return Leader if "position" in fields else Agency
