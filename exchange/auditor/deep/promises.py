"""The backbone's promises against the trace: one for each event, word for word, under a signature of the backbone.

Guarantees: shares no code with their writer. What the topic `promises.state` says was promised must be there, in the
order of the trace; what the trace has beyond that waits. What is said of deadlines is derived again (`lapses`).

A writer may be at work meanwhile: what it says that it did is read first, then the lapses, the promises, the trace.

Source: docs of ``schemas/promises``, ``promise`` and ``batch``; RFC 6962 §2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Source
from exchange.auditor.deep.lapses import LapseAudit
from exchange.auditor.deep.tree import Tree
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import TRACE
from exchange.auditor.own_word import Voice
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.signatures.algorithms import check
from exchange.signatures.merkle import leaf_hash
from exchange.statements import SUBMISSION_TOPICS, Fields, identify, schema

PROMISES, LAPSES, STATE = "promises", "lapses", "promises.state"
POSITION = b"position"
INCLUDED_WITHIN_MS = 60_000
_DOCUMENT_BYTES = 16
"""The key of an open document in the state; those of its copies are longer."""

_SAID = ("verified", "outcome", "code", "kind", "id", "sha256", "offset", "append_ms")


class PromiseCounts(NamedTuple):
    """Promises and lapses compared."""

    promises: int
    lapses: int


class _Stated(NamedTuple):
    """`next`: trace offset up to which all is promised; `settled_ms`: deadlines; `unfinished`: keys of the documents
    whose lapses are still being written, though their deadline is settled."""

    next: int
    settled_ms: int
    unfinished: set[bytes]


class PromiseAudit:
    """Audits the promises of one backbone; `run` it once. `numbers`: of the partitions; `code`: the backbone's."""

    def __init__(self, source: Source, numbers: Sequence[int], backbone: Voice, code: str, findings: Findings) -> None:
        self._source = source
        self._numbers = numbers
        self._backbone = backbone
        self._code = code
        self._findings = findings

    def run(self) -> PromiseCounts:
        """Compare everything. Raises: what `source` raises."""
        counts = [self._number(number) for number in self._numbers]
        return PromiseCounts(sum(one.promises for one in counts), sum(one.lapses for one in counts))

    def _number(self, number: int) -> PromiseCounts:
        stated = self._stated(number)
        lapses = LapseAudit(number, self._code, stated.settled_ms, stated.unfinished, self._findings)
        said = self._lapses(number, lapses)
        trace = _Trace(self._source, number, lapses)
        promises = self._promises(number, trace, stated.next)
        lapses.finish(is_complete=not trace.first)
        return PromiseCounts(promises, said)

    def _promises(self, number: int, trace: _Trace, stated: int) -> int:
        count = joined = 0
        for read in self._source.read(PROMISES, number):
            at = Coordinates(PROMISES, number, read.offset)
            batch = self._opened(read, at)
            if batch is None:
                continue
            first, after, signed_ms = batch["first"], batch["next"], batch["signed_ms"]
            if first < joined or after <= first:
                self._findings.add("audit.promise_gap", at, f"from {first} to {after}, the one before to {joined}")
                continue
            for place, event in trace.events(joined, first):
                about = _about(event)
                self._findings.add(
                    "audit.missing_promise", about, f"{place} lies before {at.topic}@{at.offset}", event["id"]
                )
            count += self._compare(at, batch["statements"], trace, (max(joined, first), after), signed_ms)
            joined = after
        if sum(1 for _ in trace.events(joined, stated)):
            at = Coordinates(PROMISES, number, joined)
            self._findings.add("audit.promise_gap", at, f"{STATE} says up to {stated}, the promises end at {joined}")
        return count

    def _compare(
        self, at: Coordinates, statements: list[bytes], trace: _Trace, span: tuple[int, int], signed_ms: int
    ) -> int:
        """Compare a batch, promise by promise; returns how many there are."""
        if span[0] < trace.first:
            for _ in trace.events(*span):
                pass
            return 0
        known, said = schema("promise"), iter(statements)
        for place, event in trace.events(*span):
            fields = {name: event[name] for name in (*_SAID, "topic", "partition", "trace_offset", "trace_index")}
            fields |= {"sender": self._code, "to": event["sender"], "included_ms": signed_ms + INCLUDED_WITHIN_MS}
            if next(said, None) != known.encode(fields):
                sentence = f"{at.topic}/{at.partition}@{at.offset} about {place}"
                self._findings.add("audit.altered_promise", _about(event), sentence, event["id"])
        if next(said, None) is not None:
            self._findings.add("audit.altered_promise", at, "it promises more than the trace has")
        return len(statements)

    def _stated(self, number: int) -> _Stated:
        """What the state of the promises says."""
        stated = settled_ms = 0
        open_ms: dict[bytes, int] = {}
        for read in self._source.read(STATE, number):
            key = read.key or b""
            if len(key) == _DOCUMENT_BYTES and not read.value:
                open_ms.pop(key, None)
            elif read.value and (key == POSITION or len(key) == _DOCUMENT_BYTES):
                try:
                    fields = identify(read.value).decode(read.value)
                    if key == POSITION:
                        stated, settled_ms = fields["next"], fields["settled_ms"]
                    else:
                        open_ms[key] = fields["deadline_ms"]
                except (Rejected, KeyError) as exc:
                    self._findings.add("audit.unreadable_record", Coordinates(*read[:3]), str(exc))
        return _Stated(stated, settled_ms, {key for key, ms in open_ms.items() if ms <= settled_ms})

    def _lapses(self, number: int, lapses: LapseAudit) -> int:
        count, before_ms = 0, 0
        for read in self._source.read(LAPSES, number):
            at = Coordinates(LAPSES, number, read.offset)
            batch = self._opened(read, at)
            if batch is None:
                continue
            if batch["deadline_ms"] < before_ms:
                self._findings.add("audit.promise_gap", at, "of an earlier deadline than the one before")
            before_ms = max(before_ms, batch["deadline_ms"])
            count += lapses.load(at, batch["deadline_ms"], batch["statements"])
        return count

    def _opened(self, read: Read, at: Coordinates) -> Fields | None:
        """The fields of a record with those of its batch, if the backbone signed it; else a finding."""
        known, signed = schema("promises"), schema("batch")
        try:
            if identify(read.value).name != known.name:
                raise Rejected("record.wrong_schema", identify(read.value).name)
            fields = known.decode(read.value)
            if fields["partition"] != at.partition or fields["certificate"] != self._backbone.certificate:
                raise Rejected("promise.other_signer", f"of partition {fields['partition']}")
            if not fields["batch"].startswith(signed.prefix):
                raise Rejected("batch.malformed", "something else in place of a batch")
            batch = signed.decode(fields["batch"])
            check(self._backbone.key, fields["algorithm"], fields["signature"], fields["batch"])
        except Rejected as exc:
            self._findings.add("audit.forged_promise", at, str(exc))
            return None
        tree = Tree(lambda *_: None)
        for statement in fields["statements"]:
            tree.add(leaf_hash(statement))
        named = (batch["root"], batch["size"], batch["sender"], batch["certificate"])
        if named != (tree.root(), tree.size, self._code, self._backbone.certificate):
            self._findings.add("audit.forged_promise", at, "its statements aren't those that were signed")
            return None
        return {**batch, **fields}


class _Trace:
    """One partition of the trace, event by event. `first`: before which nothing is kept; `lapses`: sees each."""

    def __init__(self, source: Source, number: int, lapses: LapseAudit) -> None:
        self._lapses = lapses
        self.first = source.first(TRACE, number)
        self._reads = iter(source.read(TRACE, number))
        self._head = next(self._reads, None)

    def events(self, start: int, end: int) -> Iterator[tuple[str, Fields]]:
        """The events about submissions from one trace offset to before another, each with its place."""
        while self._head is not None and self._head.offset < end:
            read, self._head = self._head, next(self._reads, None)
            try:
                record = identify(read.value).decode(read.value)
            except Rejected:
                continue  # the books name it
            if record.get("topic") not in SUBMISSION_TOPICS:
                continue
            for event in record["events"]:
                self._lapses.see(record["topic"], event)
            for index, event in enumerate(record["events"] if read.offset >= start else ()):
                place = {"topic": record["topic"], "partition": record["partition"], "trace_offset": read.offset}
                yield f"{TRACE}/{read.partition}@{read.offset}#{index}", {**event, **place, "trace_index": index}


def _about(event: Fields) -> Coordinates:
    return Coordinates(event["topic"], event["partition"], event["offset"])
