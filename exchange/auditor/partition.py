"""The audit of one partition number: its four source partitions along the trace, event by event.

Guarantees: every submission below the cut meets exactly one event, or is named; memory doesn't grow with the
bytes of the submissions. Everything said about a document lives in one partition number, so duplicates, claims
and receipts are settled here; only the inboxes are left for later.
"""

from __future__ import annotations

from functools import partial

from exchange.auditor.books import Coordinates
from exchange.auditor.deltas import Deltas, Key
from exchange.auditor.hop_records import DELTAS, TRACE, HopRecords
from exchange.auditor.outcomes import check
from exchange.auditor.said import read_statement
from exchange.auditor.scope import Case, Scope
from exchange.auditor.submissions import Submissions
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.statements import SUBMISSION_TOPICS, Fields

_UNKNOWN = ""
"""The outcome of a submission that the trace doesn't tell."""


class PartitionAudit:
    """Audits one partition number; `run` it once."""

    def __init__(self, scope: Scope, records: HopRecords) -> None:
        self._scope = scope
        self._records = records
        self._in_doubt = 0
        deltas = records.keyed_with_times(DELTAS, scope.number)
        self._deltas = Deltas(deltas, scope.number, scope.cut, scope.findings, self._told)
        self._submissions = {
            topic: Submissions(
                records.submissions(topic, scope.number), partial(self._passed, topic), partial(self._miss, topic)
            )
            for topic in SUBMISSION_TOPICS
        }

    def run(self) -> None:
        """Follow the trace, then settle what is left over."""
        for record in self._records.keyed(TRACE, self._scope.number):
            for event in record["events"]:
                topic, offset = record["topic"], event["offset"]
                if self._scope.cut.covers(topic, self._scope.number, offset):
                    self._event(record, event)
                elif self._scope.cut.is_erased(topic, self._scope.number, offset):
                    self._pass_over(record, event)
        self._rest()
        scope = self._scope
        self._deltas.finish()
        scope.claims.finish()
        if scope.deeper is not None:
            scope.deeper.finish()
        is_complete = not self._in_doubt and not any(
            scope.cut.opening(topic, scope.number) or scope.cut.erased.get((topic, scope.number))
            for topic in SUBMISSION_TOPICS
        )
        scope.receipts.finish(scope.tally, scope.findings, is_complete=is_complete)
        self._surplus_dead_letters()
        if scope.windows is not None:
            scope.windows.finish(scope.number, scope.cut, scope.findings)

    def _pass_over(self, record: Fields, event: Fields) -> None:
        """An event of what was erased: the books of its hour take the trace's word for it."""
        scope, offset = self._scope, event["offset"]
        scope.tally.erased += 1
        at = Coordinates(record["topic"], scope.number, offset)
        self._doubt(at, event["append_ms"])
        nothing = Read(*at, event["append_ms"], None, b"")
        scope.told(Case(at, nothing, event, event["append_ms"], record["directory_offset"]))

    def _event(self, record: Fields, event: Fields) -> None:
        topic, offset, findings = record["topic"], event["offset"], self._scope.findings
        at = Coordinates(topic, self._scope.number, offset)
        submissions = self._submissions[topic]
        served = submissions.take(offset)
        if served is None:
            self._doubt(at, event["append_ms"])
            if submissions.knows(offset):
                findings.add("audit.doubled_event", at, f"outcome {event['outcome']}", event["id"])
            else:
                findings.add("audit.surplus_event", at, f"outcome {event['outcome']}", event["id"])
                findings.doubt(at)
                self._in_doubt += 1
            return
        read, is_late = served
        before = findings.total
        append_ms = event["append_ms"]
        if is_late:
            findings.add("audit.event_out_of_order", at, f"outcome {event['outcome']}", event["id"])
        if not submissions.is_time(read, append_ms):
            findings.add("audit.altered_event", at, f"its append time {append_ms}, not {read.append_ms}", event["id"])
            append_ms = read.append_ms
        case = Case(at, read, event, append_ms, record["directory_offset"])
        cells = check(self._scope, case)
        if findings.total != before:
            self._doubt(at, append_ms)
            return
        self._scope.told(case)
        self._deltas.count(at, cells)

    def _told(self, at: Coordinates, append_ms: int, key: Key, sums: tuple[int, ...]) -> None:
        self._scope.counted(at, append_ms, key, sums)
        if self._scope.windows is not None:
            self._scope.windows.count(at, append_ms, key, sums)

    def _doubt(self, at: Coordinates, append_ms: int) -> None:
        """What became of this submission isn't certain: compare no sums that it is in."""
        self._deltas.doubt(at.topic, at.offset)
        if self._scope.windows is not None:
            self._scope.windows.doubt(at, append_ms)

    def _passed(self, topic: str, read: Read) -> None:
        if self._scope.cut.covers(topic, self._scope.number, read.offset):
            self._doubt(Coordinates(topic, self._scope.number, read.offset), read.append_ms)

    def _miss(self, topic: str, read: Read) -> None:
        """A submission that has no event: in flight if it lies at or beyond the cut, else missing."""
        number, cut = self._scope.number, self._scope.cut
        if read.offset < cut.opening(topic, number) or cut.is_erased(topic, number, read.offset):
            return
        kind, statement_id = _named(read.value)
        if read.offset >= cut.next(topic, number):
            self._scope.tally.record(topic, number, kind, "in_flight")
            return
        at = Coordinates(topic, number, read.offset)
        self._in_doubt += 1
        self._scope.findings.add("audit.missing_event", at, f"{len(read.value)} bytes", statement_id)
        self._scope.findings.doubt(at)
        self._scope.tally.record(topic, number, kind, _UNKNOWN)

    def _rest(self) -> None:
        for topic, submissions in self._submissions.items():
            for read in submissions.rest():
                self._passed(topic, read)
                self._miss(topic, read)

    def _surplus_dead_letters(self) -> None:
        findings = self._scope.findings
        for topic, column in self._scope.dead_letters.items():
            for index in column.left():
                at = Coordinates(topic, self._scope.number, column.offsets[index])
                if at not in findings.doubted:
                    findings.add("audit.surplus_dead_letter", at, f"sender {column.payloads[index][0]}")


def _named(value: bytes) -> tuple[str, str]:
    """Kind and id of a statement that nobody verified, empty if it can't be read."""
    try:
        said = read_statement(value)
    except Rejected:
        return "", ""
    return said.kind, said.fields["id"]
