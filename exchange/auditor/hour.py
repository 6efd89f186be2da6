"""One hour's books, as the backbone stated them, against what the submissions and inboxes say.

Guarantees: every sum is derived again, from events that were each held against their submission, directory and inbox
(`reconcile`); what the stated books have too much, too little or otherwise is named row by row, and each submission
that is missing, or wrongly said to be, by its place and id. The statement counts only if the backbone's own seal
verifies, and its file only if it has the digest that was signed.

Source: docs/hourly-books.md. Shares no code with whoever states the books but the names of hours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from exchange.auditor.books import Balance, Coordinates, Finding
from exchange.auditor.findings import CODES, LISTED_MAX
from exchange.auditor.said import read_statement
from exchange.auditor.scope import Case
from exchange.errors import Rejected
from exchange.signatures import Trust, admit
from exchange.statements import Fields
from exchange.statements.hours import BOOKS_REGIME, Hour

FILE_BYTES_MAX = 512 * 1024 * 1024
_COUNTS = ["accepted", "rejected", "duplicates", "set_aside", "delivered", "undeliverable"]
_OUTCOMES = {"accepted": 0, "rejected": 1, "duplicate": 2, "set_aside": 3}

RowKey = tuple[str, int, int, str]
"""sender, sender's level, recipient's level (0: the submissions themselves), kind."""

Ranges = Mapping[tuple[str, int], tuple[int, int]]
Fetch = Callable[[bytes, int], bytes]
"""An attachment's bytes, by digest and size; raises Rejected ``attachment.*``."""


@dataclass(slots=True)
class Statement:
    """A report that says it closes the hour."""

    at: Coordinates
    value: bytes
    append_ms: int
    directory_offset: int


@dataclass(slots=True)
class HourAudit:
    """Recounts an hour while `reconcile` runs: give it `tell`. `ranges`: the hour, of each source partition."""

    hour: Hour
    ranges: Ranges
    backbone: str
    rows: dict[RowKey, list[int]] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)

    def tell(self, case: Case) -> None:
        """One event that agrees with its submission."""
        event, at = case.event, case.at
        first, end = self.ranges[at.topic, at.partition]
        if first <= at.offset < end:
            self._count(event)
        thread = f"{self.backbone}/{BOOKS_REGIME}/{self.hour.name}"
        if (event["outcome"], event["sender"], event["thread"]) == ("accepted", self.backbone, thread):
            self.statements.append(Statement(at, case.read.value, case.append_ms, case.directory_offset))

    def compare(self, balance: Balance, opened: Callable[[Statement], dict[str, Any]]) -> list[Finding]:
        """What the stated books and the recount differ in; nothing, if they agree. `opened`: see `open_books`."""
        nowhere = Coordinates("reports", 0, 0)
        if not self.statements:
            return [_found("audit.hour_not_closed", nowhere, self.hour.books_id, f"{self.hour.name} has no books")]
        found: list[Finding] = []
        for statement in self.statements:
            try:
                found += self._differences(statement.at, opened(statement), balance)
            except (Rejected, KeyError, IndexError, ValueError, TypeError, RecursionError) as exc:
                found.append(_found("audit.books_unreadable", statement.at, self.hour.books_id, str(exc)[:300]))
        return found[:LISTED_MAX]

    def _differences(self, at: Coordinates, stated: dict[str, Any], balance: Balance) -> Iterator[Finding]:
        books_id = self.hour.books_id
        ranges = {(topic, place): (first, end) for topic, place, first, end in stated["ranges"]}
        for place, span in self.ranges.items():
            said = ranges.pop(place, (span[0], span[0]))
            if said != span and not (span[0] == span[1] == said[1]):
                sentence = f"{place[0]}/{place[1]}: stated {said[0]} to {said[1] - 1}, it is {span[0]} to {span[1] - 1}"
                yield _found("audit.books_range", at, books_id, sentence)
        for place in ranges:
            yield _found("audit.books_range", at, books_id, f"{place[0]}/{place[1]} is no source partition")
        rows: dict[RowKey, list[int]] = {(row[0], row[1], row[2], row[3]): row[4:] for row in stated["rows"]}
        for key in sorted(rows.keys() | self.rows.keys()):
            told, counted = rows.get(key, [0] * len(_COUNTS)), self.rows.get(key, [0] * len(_COUNTS))
            if told != counted:
                yield _found("audit.books_differ", at, books_id, _sentence(key, told, counted))
        yield from self._missing(at, stated, balance)

    def _missing(self, at: Coordinates, stated: dict[str, Any], balance: Balance) -> Iterator[Finding]:
        told = {Coordinates(topic, place, offset): str(name) for topic, place, offset, name in stated["missing"]}
        lost = {
            one.at: one.id
            for one in balance.findings
            if one.code == "audit.missing_event" and self._is_within(one.at)
        }  # fmt: skip
        for place, name in told.items():
            if place not in lost:
                sentence = f"stated as missing, but it isn't: {place.topic}/{place.partition}/{place.offset}"
                yield _found("audit.books_missing", at, name, sentence)
        for place, name in lost.items():
            if place not in told:
                sentence = f"missing, but not stated: {place.topic}/{place.partition}/{place.offset}"
                yield _found("audit.books_missing", at, name, sentence)

    def _is_within(self, at: Coordinates) -> bool:
        first, end = self.ranges.get((at.topic, at.partition), (0, 0))
        return first <= at.offset < end

    def _count(self, event: Fields) -> None:
        sender = event["sender"] if event["verified"] else ""
        self._add((sender, event["sender_level"], 0, event["kind"]), _OUTCOMES[event["outcome"]])
        for copy in event["deliveries"]:
            self._add((sender, event["sender_level"], copy["level"], event["kind"]), 4 if copy["partition"] >= 0 else 5)

    def _add(self, key: RowKey, column: int) -> None:
        counts = self.rows.get(key)
        if counts is None:
            counts = self.rows[key] = [0] * len(_COUNTS)
        counts[column] += 1


def open_books(statement: Statement, hour: Hour, backbone: str, fetch: Fetch, trust: Trust) -> dict[str, Any]:
    """The books that a statement attaches, once seal, digest and figures hold.

    `trust`: by the directory as of the event. Raises: Rejected, or what JSON of another form leads to.
    """
    verified = admit(statement.value, statement.append_ms, trust, storage_keys=None)
    if verified.seal.agency != backbone:
        raise Rejected("signature.not_the_senders", verified.seal.agency)
    fields = read_statement(statement.value).fields
    (file,) = fields["attachments"]
    if file["size"] > FILE_BYTES_MAX:
        raise Rejected("attachment.size", str(file["size"]))
    data = fetch(file["sha256"], file["size"])
    if sha256(data).digest() != file["sha256"]:
        raise Rejected("attachment.differs", file["sha256"].hex())
    stated: dict[str, Any] = json.loads(data)
    if (stated["version"], stated["hour"], stated["counts"]) != (1, hour.name, _COUNTS):
        raise Rejected("books.other", f"{stated['version']}, {stated['hour']}, {stated['counts']}"[:200])
    figures = {figure["indicator"]: figure["value"] for figure in fields["figures"]}
    sums = {name: sum(row[4 + place] for row in stated["rows"]) for place, name in enumerate(_COUNTS)}
    if figures != sums | {"missing": stated["missing_count"]}:
        raise Rejected("books.other", f"the figures {figures} aren't the file's {sums}"[:300])
    return stated


def _sentence(key: RowKey, told: list[int], counted: list[int]) -> str:
    sender, sender_level, recipient_level, kind = key
    what = [f"{name} {a}, recounted {b}" for name, a, b in zip(_COUNTS, told, counted, strict=True) if a != b]
    levels = f"{sender_level}" if not recipient_level else f"{sender_level} to {recipient_level}"
    return f"{sender or 'nobody verified'}, level {levels}, {kind or 'unreadable'}: stated {'; '.join(what)}"


def _found(code: str, at: Coordinates, statement_id: str, sentence: str) -> Finding:
    return Finding(code, at, statement_id, f"{CODES[code]}: {sentence}")
