"""What was found as a file: CSV, JSON or Parquet by the name's ending, written page by page.

Guarantees: constant memory, whatever is found; the file has its name only once it is whole. CSV is what spreadsheets
read: UTF-8 with a byte order mark, and no text in it begins a formula (a leading =, +, - or @ gets a ' before it).
JSON is one array with one object a line. Parquet needs the extra ``parquet`` (pyarrow).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from exchange.errors import Misconfigured
from exchange.views.search.finding import Found

Write = Callable[[list[Found]], None]
"""Appends some results to a file."""

_EPOCH = date(1970, 1, 1)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Column(NamedTuple):
    """A column of the file. `arrow`: pyarrow's name of its type."""

    name: str
    value: Callable[[Found], Any]
    arrow: str


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _day(days: int | None) -> date | None:
    return None if days is None else _EPOCH + timedelta(days)


COLUMNS = (
    Column("submitted", lambda one: _at(one.append_ms), "timestamp[ms, tz=UTC]"),
    Column("outcome", lambda one: one.outcome, "string"),
    Column("rejection", lambda one: one.rejection, "string"),
    Column("kind", lambda one: one.kind, "string"),
    Column("business", lambda one: one.business, "string"),
    Column("type", lambda one: one.type, "string"),
    Column("code", lambda one: one.code, "string"),
    Column("subject", lambda one: one.subject, "string"),
    Column("issued", lambda one: _day(one.issued), "date32"),
    Column("urgency", lambda one: one.urgency, "int32"),
    Column("due", lambda one: _day(one.due), "date32"),
    Column("sender", lambda one: one.sender, "string"),
    Column("verified", lambda one: one.verified, "bool"),
    Column("copies", lambda one: one.copies, "int32"),
    Column("acknowledged", lambda one: one.acknowledged, "int32"),
    Column("undeliverable", lambda one: one.undeliverable, "int32"),
    Column("recipients", lambda one: " ".join(one.recipients or ()), "string"),
    Column("id", lambda one: one.id, "string"),
    Column("thread", lambda one: one.thread, "string"),
    Column("place", lambda one: f"{one.source_topic}/{one.partition}/{one.source_offset}", "string"),
)
"""What the files hold. `recipients`: the first few codes, with a space between."""


@contextmanager
def exported(path: Path) -> Iterator[Write]:
    """Write a file; when the block ends without an error it bears its name.

    Raises: Misconfigured for another ending than ``.csv``, ``.json``, ``.parquet``, or without pyarrow; OSError.
    """
    if path.suffix not in _FORMATS:
        raise Misconfigured([f"{path.name}: its name ends with none of {', '.join(_FORMATS)}"])
    draft = path.with_name(f"{path.name}.part")
    try:
        with _FORMATS[path.suffix](draft) as write:
            yield write
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([column.name for column in COLUMNS])
        yield lambda found: rows.writerows([_cell(column.value(one)) for column in COLUMNS] for one in found)


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def _json(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        yield _Objects(file).write
        file.write("\n]\n")


class _Objects:
    """Writes the objects of one JSON array."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = "\n"

    def write(self, found: list[Found]) -> None:
        for one in found:
            fields = {column.name: column.value(one) for column in COLUMNS}
            self._file.write(
                self._separator + json.dumps(fields, ensure_ascii=False, default=lambda value: value.isoformat())
            )
            self._separator = ",\n"


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    try:
        import pyarrow  # an extra, and slow to import
        import pyarrow.parquet
    except ImportError as exc:
        raise Misconfigured(["Parquet needs pyarrow: install exchange-backbone[parquet]"]) from exc
    types = {
        "timestamp[ms, tz=UTC]": pyarrow.timestamp("ms", "UTC"),
        "date32": pyarrow.date32(),
        "int32": pyarrow.int32(),
        "bool": pyarrow.bool_(),
        "string": pyarrow.string(),
    }
    layout = pyarrow.schema([(column.name, types[column.arrow]) for column in COLUMNS])
    with pyarrow.parquet.ParquetWriter(path, layout) as writer:

        def write(found: list[Found]) -> None:
            columns = {column.name: [column.value(one) for one in found] for column in COLUMNS}
            writer.write_table(pyarrow.table(columns, schema=layout))

        yield write


_FORMATS = {".csv": _csv, ".json": _json, ".parquet": _parquet}
