"""From trace records to the rows of the trace store.

Guarantees: pure; the same records give the same rows, however they are cut into portions. Within a partition the
trace has the order in which the hop decided, so of all that happened to one copy in a portion only the sum is
kept: the last state, what was asked after it, the first receipt, the last status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from exchange.errors import InvariantBroken, Rejected
from exchange.statements import Fields, identify
from exchange.statements.chain import CHANGE_OPEN, TAKE_BACK_OPEN, UNDELIVERABLE, WAITING
from exchange.statements.status import TAKE_BACK_ASKED
from exchange.views.trace_terms import terms_of

Row = tuple[Any, ...]

_RECORD = ("directory_offset", "hop_ms", "worker")
_EVENT = (
    "append_ms",
    "outcome",
    "code",
    "kind",
    "sender",
    "verified",
    "id",
    "thread",
    "sha256",
    "certificate",
    "accepted_offset",
)
_STATUS = ("document_sender", "document_id", "recipient", "code", "moved", "state", "reason")
_DOCUMENT = ("kind", "thread", "sender", "sender_level", "id", "sha256", "append_ms")
_SUMMARY = ("business", "code", "type", "subject", "issued", "urgency", "due", "attachments", "bytes")
_COPY = ("recipient", "level", "partition", "redirected_from")

_PLACE = ("source_topic", "partition", "source_offset")
COLUMNS: dict[str, tuple[str, ...]] = {
    "events": (
        *_PLACE,
        "trace_offset",
        "trace_index",
        *_RECORD,
        *_EVENT,
        *("status_code" if name == "code" else name for name in _STATUS),
        "terms",
    ),
    "documents": (*_PLACE, *_DOCUMENT, *_SUMMARY),
    "deliveries": (
        *_PLACE,
        "delivered_ms",
        "state",
        *("inbox_partition" if name == "partition" else name for name in _COPY),
    ),
}
"""The columns that are written for a new row, by table, in the order of the rows below."""

_record, _event, _status = itemgetter(*_RECORD), itemgetter(*_EVENT), itemgetter(*_STATUS)
_document, _summary, _copy = itemgetter(*_DOCUMENT), itemgetter(*_SUMMARY), itemgetter(*_COPY)
_NO_STATUS: Row = (None,) * len(_STATUS)
_NO_SUMMARY: Row = (None,) * len(_SUMMARY)


class CopyKey(NamedTuple):
    """Names one recipient's copy of a document or report."""

    thread: str
    sender: str
    id: str
    recipient: str


@dataclass(slots=True)
class Change:
    """What a portion does to a copy. `state`: set by its last status; `request`: asked after that, if anything.

    `receipt_ms`: append time of the first status of the recipient; `status_code`, `status_ms`: the last status;
    `recalled_ms`: append time of the first word of the sender that it wants the copy back.
    """

    state: int | None = None
    request: int | None = None
    receipt_ms: int | None = None
    status_code: int | None = None
    status_ms: int | None = None
    recalled_ms: int | None = None

    def ask_back(self, append_ms: int) -> None:
        """Note that the sender wants it back, whether or not the chain could open that request."""
        if self.recalled_ms is None:
            self.recalled_ms = append_ms


def decode(value: bytes) -> Fields:
    """Read a trace record.

    Raises: InvariantBroken: only the hop writes there, so what can't be read is our own bug.
    """
    try:
        found = identify(value)
        if found.name != "trace":
            raise InvariantBroken(f"a record of schema {found.name} among the trace")
        return found.decode(value)
    except Rejected as exc:
        raise InvariantBroken(f"a trace record that can't be read: {exc}") from exc


class Blank(NamedTuple):
    """An erasure: what was said in and about a document before this place in the trace is blank from here on."""

    thread: str
    sender: str
    id: str
    partition: int
    trace_offset: int
    trace_index: int


class Portion:
    """Some trace records, and what they make of the store. `next_offsets`: of the trace, by partition."""

    def __init__(self) -> None:
        self.next_offsets: dict[int, int] = {}
        self.changes: dict[CopyKey, Change] = {}
        self.blanks: list[Blank] = []
        self.events = 0
        self._records: list[tuple[int, Fields]] = []

    def __bool__(self) -> bool:
        return bool(self.next_offsets)

    def add(self, partition: int, offset: int, value: bytes) -> None:
        """Take in the next record of a partition of the trace."""
        record = decode(value)
        if record["partition"] != partition:
            raise InvariantBroken(f"trace of source partition {record['partition']} in partition {partition}")
        self._records.append((offset, record))
        self.next_offsets[partition] = offset + 1
        self.events += len(record["events"])
        for index, event in enumerate(record["events"]):
            if event["outcome"] == "accepted":
                self._take_changes(event)
            elif event["outcome"] == "erased":
                self.blanks.append(Blank(event["thread"], event["sender"], event["id"], partition, offset, index))

    def rows(self, table: str) -> Iterator[Row]:
        """The new rows of a table, in `COLUMNS`, one at a time: a national document has thousands."""
        return {"events": self._events, "documents": self._documents, "deliveries": self._deliveries}[table]()

    def _take_changes(self, event: Fields) -> None:
        status, summary = event["status"], event["summary"]
        if status is not None:
            key = CopyKey(event["thread"], status["document_sender"], status["document_id"], status["recipient"])
            change = self.changes.setdefault(key, Change())
            change.state, change.request = status["state"], None
            change.status_code, change.status_ms = status["code"], event["append_ms"]
            if status["code"] == TAKE_BACK_ASKED:
                change.ask_back(event["append_ms"])
            elif change.receipt_ms is None:
                change.receipt_ms = event["append_ms"]
        elif summary is not None and summary["business"] != "new":
            thread = event["thread"]
            owner, _, first = thread.partition("/")
            is_recall = summary["business"] == "recall"
            request = TAKE_BACK_OPEN if is_recall else CHANGE_OPEN
            for copy in event["deliveries"]:
                change = self.changes.setdefault(CopyKey(thread, owner, first, copy["recipient"]), Change())
                if is_recall:
                    change.ask_back(event["append_ms"])
                if change.request is None:  # a second one finds the first one open, or whatever refused it
                    change.request = request

    def _events(self) -> Iterator[Row]:
        for trace_offset, record in self._records:
            topic, partition, tail = record["topic"], record["partition"], _record(record)
            for index, event in enumerate(record["events"]):
                status = event["status"]
                yield (
                    topic,
                    partition,
                    event["offset"],
                    trace_offset,
                    index,
                    *tail,
                    *_event(event),
                    *(_NO_STATUS if status is None else _status(status)),
                    terms_of(event),
                )

    def _documents(self) -> Iterator[Row]:
        for _, record in self._records:
            topic, partition = record["topic"], record["partition"]
            for event in record["events"]:
                if event["outcome"] == "accepted" and event["status"] is None:
                    summary = event["summary"]
                    yield (
                        topic,
                        partition,
                        event["offset"],
                        *_document(event),
                        *(_NO_SUMMARY if summary is None else _summary(summary)),
                    )

    def _deliveries(self) -> Iterator[Row]:
        for _, record in self._records:
            topic, partition = record["topic"], record["partition"]
            for event in record["events"]:
                has_state, offset = event["status"] is None, event["offset"]
                for copy in event["deliveries"]:
                    delivered_ms = state = None
                    if has_state and copy["partition"] >= 0:
                        delivered_ms, state = event["append_ms"], WAITING
                    elif has_state:
                        state = UNDELIVERABLE
                    yield (topic, partition, offset, delivered_ms, state, *_copy(copy))
