"""The way of one document as values: what `exchange.views.tracing.trace` finds, for a terminal, a page or JSON.

Text of an `Entry` that is not `verified` was written by anyone: printable and short, but a claim. Times are the
broker's, in milliseconds since 1970 UTC, as appended: its clock can step back, so order is never told by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One submission as the hop decided about it. `sha256`: of the statement, hexadecimal. `certificate`: of the seal
    that it was accepted under, SHA-256, hexadecimal.

    `accepted_offset`: of a duplicate, the `source_offset` of the one accepted; else -1.
    """

    source_topic: str
    partition: int
    source_offset: int
    append_ms: int
    outcome: str
    code: str
    kind: str
    sender: str
    verified: bool
    id: str
    thread: str
    sha256: str | None
    accepted_offset: int
    trace_offset: int
    trace_index: int
    directory_offset: int
    hop_ms: int
    worker: str
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """An accepted status. `state`: of the recipient's copy after it; `moved`: it changed it."""

    entry: Entry
    document_sender: str
    document_id: str
    recipient: str
    status_code: int
    moved: bool
    state: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient's copy. `inbox_partition`: -1 if undeliverable. `status_code`: the last, by either side."""

    recipient: str
    level: int
    inbox_partition: int
    redirected_from: str | None
    state: int
    first_receipt_ms: int | None
    status_code: int | None
    status_ms: int | None

    @property
    def is_deliverable(self) -> bool:
        """Whether it reached an inbox."""
        return self.inbox_partition >= 0

    @property
    def is_acknowledged(self) -> bool:
        """Whether its recipient has signed at least one receipt."""
        return self.first_receipt_ms is not None


@dataclass(frozen=True, slots=True)
class Summary:
    """What is kept of a document for searching. `issued`, `due`: days since 1970, any that a sender wrote."""

    business: str
    code: str
    type: str
    subject: str
    issued: int
    urgency: int
    due: int | None
    attachments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Document:
    """An accepted document or report and its copies, by recipient. `summary`: None for a report."""

    entry: Entry
    summary: Summary | None
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Erasing:
    """A decision to destroy what was said in the document and about it. `statements`: how many; `done_ms`: when the
    trace tells of it; None before that."""

    directory_offset: int
    decided_ms: int
    by: str
    seconded_by: str
    reason: str
    statements: int
    done_ms: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at it by an auditor. `append_ms`: the broker's clock; `asked`: JSON, or an id; `access`: what
    the records of one export have in common, hexadecimal; `reason`: empty if none was given.
    """

    record_offset: int
    append_ms: int
    action: str
    by: str
    reason: str
    asked: str
    access: str


@dataclass(frozen=True, slots=True)
class Path:
    """The way of the document with that sender and id.

    `document`: None if it was never accepted; `sender` and `thread` are None then if claims differ.
    `duplicates`: the same bytes again. `rejections`: others that claimed the sender and id, in any thread.
    `steps`: the statuses about it. `related`: recalls, updates and replacements of it, or what it is one of.
    `others`: all else in its thread: rejected and repeated statuses, statuses about `related`, what was set aside, and
    that something was erased; `erasings`: who decided that, see `erasing`.
    `looks`: who looked at it as an auditor, the latest first; see `exchange.views.accesses`.
    `compromised`: certificates in it whose key may have been another's, since when (ms); see `suspects`.
    `roles`: of each certificate in it, ``seal`` (the agency itself), ``connector`` or ``delegate``, as the directory
    lists it; `delegates`: who holds the latter.
    `leaders`: directory ids of those who signed the document too, where its submission was looked at.
    """

    id: str
    sender: str | None
    thread: str | None
    document: Document | None
    duplicates: tuple[Entry, ...]
    rejections: tuple[Entry, ...]
    steps: tuple[Step, ...]
    related: tuple[Document, ...]
    others: tuple[Entry, ...]
    is_complete: bool
    compromised: Mapping[str, int] = field(default_factory=dict)
    erasings: tuple[Erasing, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    delegates: Mapping[str, str] = field(default_factory=dict)
    leaders: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """Every entry of the path, the document's own first."""
        if self.document is not None:
            yield self.document.entry
        yield from (step.entry for step in self.steps)
        yield from (document.entry for document in self.related)
        yield from (*self.duplicates, *self.rejections, *self.others)

    def places(self) -> list[tuple[str, int, int]]:
        """The submissions whose path it is: the one accepted, or else all that claimed the id."""
        own = (*self.rejections, *self.others) if self.document is None else (self.document.entry,)
        return [(entry.source_topic, entry.partition, entry.source_offset) for entry in own]

    def is_suspect(self, entry: Entry) -> bool:
        """Whether it was accepted since the key of its seal may have been another's."""
        return entry.certificate is not None and entry.append_ms >= self.compromised.get(
            entry.certificate, entry.append_ms + 1
        )

    def to_json(self) -> str:
        """The same as JSON, field for field."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)
