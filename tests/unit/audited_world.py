"""A small exchange without Kafka: lists of records, filled by the hop's own decisions, for the auditor's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from types import SimpleNamespace
from typing import cast

from exchange.agencies import BACKBONE_CODE, Agency, Directory, Group, Level
from exchange.auditor import Balance, Coordinates, Cut, reconcile
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.pipeline.decide import Decisions, Verdict, decision_on
from exchange.pipeline.notices import Notary
from exchange.pipeline.outputs import Rules
from exchange.pipeline.routing import Router
from exchange.pipeline.store import PartitionStore
from exchange.pipeline.submission import Submission, partition_of
from exchange.statements import KINDS, SUBMISSION_TOPICS, Fields, Statement, compose, identify, schema

PARTITIONS = 2
INBOX_PARTITIONS = 3
START_MS = 1_700_000_000_000
ISSUED = date(2023, 11, 1)
OPENED = date(2022, 1, 1)
COMMUNES = [f"H01.01.{n:02d}" for n in range(40)]

Mutate = Callable[[Fields], Fields]


def record(statement: bytes) -> bytes:
    """The wire record of a statement; the stub gate looks at no signature."""
    return schema("record").encode({"statement": statement, "signatures": [], "storage": []})


def agency(code: str, level: Level, parent: str | None, *, closed: bool = False, to: Sequence[str] = ()) -> Agency:
    last_day = date(2023, 1, 1) if closed else None
    return Agency(code, 1, f"UBND {code}", level, "unit", parent, (), OPENED, last_day, tuple(to))


def directory() -> Directory:
    """A country of one ministry, two provinces, a district and its communes, one closed and one succeeded unit."""
    made = Directory()
    made.apply(
        0,
        [
            agency("G00", Level.CENTRAL, None),
            agency("G01", Level.CENTRAL, "G00"),
            agency("H01", Level.PROVINCE, "G00"),
            agency("H02", Level.PROVINCE, "G00"),
            agency("H01.01", Level.DISTRICT, "H01"),
            agency("H01.08", Level.DISTRICT, "H01", closed=True),
            agency("H01.09", Level.DISTRICT, "H01", closed=True, to=["H01.01"]),
            *(agency(code, Level.COMMUNE, "H01.01") for code in COMMUNES),
        ],
    )
    made.apply(1, [Group("@all", 1, "Mọi xã", Level.COMMUNE, None, "H01", ("H02",), ("H01", "G01"))])
    return made


@dataclass
class World:
    """The topics, and a hop that fills them batch by batch. `at`: where the first submission of an id lies."""

    directory: Directory = field(default_factory=directory)
    topics: dict[tuple[str, int], list[Read]] = field(default_factory=dict)
    at: dict[str, Coordinates] = field(default_factory=dict)
    openings: dict[tuple[str, int], int] = field(default_factory=dict)
    step_ms: int = 20_000
    notary: Notary = record

    def __post_init__(self) -> None:
        self._stores = {p: PartitionStore() for p in range(PARTITIONS)}
        self._positions = {(t, p): 0 for t in SUBMISSION_TOPICS for p in range(PARTITIONS)}
        self._pending: list[tuple[Submission, Verdict]] = []
        self._clock_ms = START_MS

    def read(self, topic: str, partition: int) -> Iterator[Read]:
        return iter(self.topics.get((topic, partition), []))

    def first(self, topic: str, partition: int) -> int:
        return 0

    def submit(self, kind: str, fields: Fields, rejected: Rejected | None = None, *, verified: bool = True) -> Read:
        """Append a statement; `rejected`: the stub gate's verdict, with the sender proven or not."""
        raw = compose.encode(kind, fields)
        statement = Statement(KINDS[kind], fields, raw, sha256(raw).digest())
        seal = SimpleNamespace(certificate=SimpleNamespace(fingerprint=bytes(32)))
        verdict: object = SimpleNamespace(statement=statement, seal=seal)
        if rejected is not None:
            rejected.statement = statement
            rejected.sender = statement.sender if verified else None
            verdict = rejected
        key = statement.kind.key(fields).encode()
        read = self._append(statement.kind.topic(fields), key, record(raw), cast(Verdict, verdict))
        self.at.setdefault(statement.id, Coordinates(*read[:3]))
        return read

    def garbage(self, value: bytes) -> Read:
        return self._append("documents", b"forged", value, Rejected("avro.not_avro", "forged"))

    def hop(self) -> None:
        """One transaction over all that is pending."""
        pending = sorted(self._pending, key=lambda one: SUBMISSION_TOPICS.index(one[0].topic))
        self._pending = []
        rules = Rules(PARTITIONS, INBOX_PARTITIONS, BACKBONE_CODE, self.notary, "worker-1")
        router = Router(self.directory.latest(), INBOX_PARTITIONS)
        decisions = Decisions(rules, router, self._stores, self._positions)
        for submission, verdict in pending:
            aside = decision_on(submission, self.directory.latest())
            if aside is not None:
                decisions.set_aside(submission, aside)
            else:
                decisions.decide(submission, verdict)
        for out in decisions.records(START_MS):
            log = self.topics.setdefault((out.topic, out.partition), [])
            # Every other offset: in Kafka transaction markers take some.
            log.append(Read(out.topic, out.partition, 2 * len(log), START_MS, out.key, out.value))
        self._positions.update(decisions.outputs.next_offsets())
        for store in self._stores.values():
            store.apply()

    def balance(self) -> Balance:
        cut = Cut(PARTITIONS, INBOX_PARTITIONS, dict(self._positions), self.openings)
        return reconcile(cut, self, self.directory)

    def _append(self, topic: str, key: bytes, value: bytes, verdict: Verdict) -> Read:
        partition = partition_of(key, PARTITIONS)
        log = self.topics.setdefault((topic, partition), [])
        self._clock_ms += self.step_ms
        read = Read(topic, partition, log[-1].offset + 1 if log else 0, self._clock_ms, key, value)
        log.append(read)
        self._pending.append((Submission(*read), verdict))
        return read

    # Ways to spoil it.

    def find(self, topic: str, wanted: Callable[[Fields], bool]) -> tuple[list[Read], int]:
        """The first record of a topic of the hop's whose fields are wanted: its log and place."""
        for (name, _), log in sorted(self.topics.items()):
            if name == topic or (topic == "inbox" and name.startswith("inbox.")):
                for place, read in enumerate(log):
                    if wanted(fields_of(read.value)):
                        return log, place
        raise AssertionError(f"nothing like that in {topic}")

    def delete(self, topic: str, wanted: Callable[[Fields], bool]) -> None:
        log, place = self.find(topic, wanted)
        del log[place]

    def double(self, topic: str, wanted: Callable[[Fields], bool]) -> None:
        log, place = self.find(topic, wanted)
        log.append(log[place]._replace(offset=log[-1].offset + 1))

    def alter(self, topic: str, wanted: Callable[[Fields], bool], change: Mutate) -> None:
        log, place = self.find(topic, wanted)
        value = log[place].value
        log[place] = log[place]._replace(value=identify(value).encode(change(fields_of(value))))

    def swap(self, topic: str, wanted: Callable[[Fields], bool], other: Callable[[Fields], bool]) -> None:
        (log, a), (same, b) = self.find(topic, wanted), self.find(topic, other)
        assert log is same
        log[a], log[b] = log[b]._replace(offset=log[a].offset), log[a]._replace(offset=log[b].offset)


def fields_of(value: bytes) -> Fields:
    return identify(value).decode(value)


def document(sender: str, statement_id: str, *to: str, urgency: int = 0, content: str = "") -> Fields:
    attachments = [compose.attachment("a.pdf", "application/pdf", 1000, bytes(32))]
    return compose.document(
        sender, statement_id, list(to), "Trích yếu", signed_ms=START_MS, issued=ISSUED, urgency=urgency,
        content=content, attachments=attachments,
    )  # fmt: skip


def status(recipient: str, statement_id: str, about: Fields, code: int, said_by: str | None = None) -> Fields:
    return compose.status(
        recipient, statement_id, about, code, signed_ms=START_MS, document_append_ms=START_MS,
        thread=about["thread"] or f"{about['sender']}/{about['id']}", said_by=said_by, reason="vì thế",
    )  # fmt: skip


def report(sender: str, statement_id: str, to: str | None = None) -> Fields:
    return compose.report(sender, statement_id, "BC.01", "2023-11", [("dân số", "người", 1)], signed_ms=START_MS, to=to)


def lively() -> World:
    """Everything that can happen, over three batches; the last submissions are in flight."""
    world = World()
    first = document("G01", "d1", "H01", "H02")
    to_all = document("H01", "d2", "@all", "H01.01")
    world.submit("document", first)
    world.submit("document", to_all)
    world.submit("document", document("H01", "d3", "H01.08", "H01.09", "H02"))
    world.submit("document", document("H02", "d4", "H01.08"))
    world.submit("document", document("H02", "d5", "H01", urgency=2))
    world.submit("document", document("H02", "unknown", "H77"))
    world.submit("document", document("H02", "forged", "H01"), Rejected("signature.wrong"), verified=False)
    world.submit("document", document("H02", "ruled-out", "H01"), Rejected("document.secret"))
    world.submit("document", document("H01.08", "from-closed", "H01"))
    world.garbage(b"\x00\x01\x02")
    world.submit("report", report("H01.01.07", "r1"))
    world.submit("report", report("H01.01", "r2", "G00"))
    world.hop()
    world.submit("document", first)
    world.submit("document", document("G01", "d1", "H02", content="other bytes"))
    recall = compose.follow_up(first, "recall", "recall-1", "Thu hồi", signed_ms=START_MS)
    world.submit("document", recall | {"to": ["H01"]})
    world.submit("status", status("H01", "s1", first, 1))
    world.submit("status", status("H01", "s2", first, 3))
    world.submit("status", status("H01", "s2", first, 3))
    world.submit("status", status("H02", "s3", first, 13, said_by="G01"))
    world.submit("status", status("H01.01.03", "s4", to_all, 1))
    world.submit("status", status("H01.01.03", "s5", first, 1))
    world.hop()
    world.directory.apply(5, [replace(agency("H02", Level.PROVINCE, "G00"), version=2, name="Tỉnh mới")])
    world.submit("document", document("G01", "d6", "H02"))
    world.submit("status", status("H02", "s6", first, 15))
    world.hop()
    world.submit("document", document("G01", "later", "H02"))
    world.submit("status", status("H02", "s7", first, 1))
    return world
