"""The deep audit of a running exchange: all that the tests did to it holds; what is spoiled in any store is named.

The topics are read once into lists, the ledger's folder is copied, and rows are changed in a transaction that is rolled
back, so nothing is spoiled for anybody else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg import Connection, sql

from exchange.agencies.levels import Level
from exchange.auditor import Balance, Cut, KafkaSource, from_the_archive_on, reconcile, take_cut
from exchange.auditor.books import Coordinates, Finding
from exchange.auditor.deep import Deep
from exchange.auditor.deep.accesses import AccessAudit
from exchange.auditor.deep.rows import TABLES, RowAudit
from exchange.auditor.findings import Findings
from exchange.backbone.accesses import ACCESSES, Access, Accesses
from exchange.backbone.folder import Folder
from exchange.backbone.reading import Read
from exchange.cli.auditing import deep_of
from exchange.cli.running import options_of
from exchange.ledger.store import CHECKPOINT
from exchange.local.founding import listed, now_ms
from exchange.statements import schema
from exchange.statements.compose import follow_up
from exchange.views.accesses import AccessStore
from exchange.views.trace_store import TraceStore
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

WITHIN_S = 30


@dataclass
class Copied:
    """The topics as lists, read when first asked for."""

    source: KafkaSource
    topics: dict[tuple[str, int], list[Read]] = field(default_factory=dict)

    def read(self, topic: str, partition: int) -> Iterator[Read]:
        place = (topic, partition)
        if place not in self.topics:
            self.topics[place] = list(self.source.read(topic, partition))
        return iter(self.topics[place])

    def first(self, topic: str, partition: int) -> int:
        return self.source.first(topic, partition)

    def copy(self) -> Copied:
        return Copied(self.source, {place: list(log) for place, log in self.topics.items()})


@dataclass
class Audited:
    """What is audited: a cut, the topics, the ledger's folder, and the trace store."""

    deep: Deep
    cut: Cut
    topics: Copied
    ledger: Path
    store: TraceStore

    def audit(self, topics: Copied | None = None, ledger: Path | None = None) -> Balance:
        _, key = self.deep.ledger or (None, "")
        deep = replace(self.deep, ledger=(Folder(ledger or self.ledger), key), counts={})
        return reconcile(self.cut, topics or self.topics, None, deep=deep)

    @contextmanager
    def rows(self) -> Iterator[Connection[Any]]:
        """The trace store, to be spoiled: it is put right again."""
        with self.store.connect() as connection:
            try:
                yield connection
            finally:
                connection.rollback()

    def row_findings(self, connection: Connection[Any]) -> list[Finding]:
        findings = Findings()
        RowAudit(connection, self.topics, self.cut, findings).run()
        return findings.listed


def lively(exchange: Exchange) -> None:
    """Documents, statuses, a recall, something refused, and what a connector and a leader signed, so that the world has
    them all whatever ran before."""
    sender, to = exchange.member(Level.PROVINCE, 2), [exchange.member(Level.DISTRICT, number) for number in (0, 1)]
    first = exchange.document(sender, [one.agency.code for one in to])
    exchange.submit("document", first, sender)
    exchange.submit("document", first, sender)
    exchange.submit("document", exchange.document(sender, ["@communes"]), sender)
    exchange.submit("status", exchange.status(to[0], first, 1), to[0])
    exchange.submit("status", exchange.status(to[0], first, 3), to[0])
    exchange.submit("status", exchange.status(to[1], first, 15), to[1])
    recall = follow_up(first, "recall", str(uuid.uuid4()), "Thu hồi", signed_ms=now_ms())
    exchange.submit("document", recall, sender)
    exchange.settle()
    connector = exchange.world.authority.issue(sender.agency.code, "Bộ kết nối", connector=True)
    exchange.enter(listed([connector]))
    last = exchange.document(sender, [to[0].agency.code])
    led_by, leader = next((one, one.leader) for one in exchange.cast.members.values() if one.leader)
    signer = {"name": leader.name, "position": leader.position, "leader": leader.id}
    led = exchange.document(led_by, [to[0].agency.code], signer=signer)
    places = [
        exchange.submit("document", last, replace(sender, key=connector.signing_key)),
        exchange.submit("document", led, led_by, keys=[led_by.key, led_by.leader_key]),
    ]
    assert [fate.event["outcome"] for fate in exchange.fates(places)] == ["accepted", "accepted"]


@pytest.fixture(scope="module")
def audited(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    lively(exchange)
    world = exchange.world
    deep = deep_of(world, signatures=True)
    assert deep.ledger is not None
    files, _ = deep.ledger
    cut = from_the_archive_on(take_cut(world.base, "hop"), world.volumes)
    source = KafkaSource(world.base, earlier=world.volumes)
    topics = Copied(source)
    events = sum(
        len(schema("trace").decode(read.value)["events"])
        for partition in range(cut.partitions)
        for read in topics.read("trace", partition)
    )
    store = TraceStore(world.database_url)
    ends = {p: log[-1].offset + 1 for (_, p), log in topics.topics.items() if log}

    def has_caught_up() -> bool:
        note = files.read(CHECKPOINT)
        return note is not None and int(note.split(b"\n")[1]) >= events and store.offsets("trace") == ends

    deadline = time.monotonic() + WITHIN_S
    while not has_caught_up():
        assert time.monotonic() < deadline, "ledger or trace store didn't catch up"
        time.sleep(0.1)
    ledger = tmp_path_factory.mktemp("copied") / "ledger"
    shutil.copytree(world.home.folder / "ledger", ledger)
    try:
        yield Audited(deep, cut, topics, ledger, store)
    finally:
        source.close()


def test_everything_that_happened_so_far_holds(audited: Audited) -> None:
    balance = audited.audit()
    assert balance.findings == []
    assert balance.holds
    compared = balance.compared or {}
    assert compared["signatures"] > 0  # one of a batch stands for all of it
    assert compared["leaves"] >= balance.total.records.submitted - balance.total.records.in_flight
    assert compared["rows"] > compared["leaves"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_command(exchange: Exchange, audited: Audited, processes: str) -> None:
    assert audited.cut
    options = [*options_of(exchange.world), "audit", "--archive", "--deep", "--no-signatures", "--json"]
    command = [sys.executable, "-m", "exchange", *options, "--processes", processes]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    assert told["holds"]
    assert told["compared"]["rows"] > told["compared"]["leaves"] > 0
    assert "signatures" not in told["compared"]


# The topics of the real exchange; `tests/unit/test_audit_deep.py` goes through every record of a small one.


@pytest.mark.parametrize("topic", ["documents", "statuses", "inbox.district", "trace", "store", "dead-letters"])
def test_a_record_is_gone(audited: Audited, topic: str) -> None:
    topics = audited.topics.copy()
    log = max((log for (name, _), log in topics.topics.items() if name == topic), key=len)
    cut = audited.cut.next_offsets.get((topic, log[0].partition), 1 << 60)
    gone = log.pop(next(place for place in range(len(log) - 1, -1, -1) if log[place].offset < cut))
    balance = audited.audit(topics)
    assert not balance.holds
    own = gone[:3]
    if topic in {"inbox.district", "dead-letters"}:
        fields = schema("delivery" if topic.startswith("inbox") else "dead_letter").decode(gone.value)
        own = (fields["topic"], fields["partition"], fields["offset"])
    named = [one for one in balance.findings if one.at == own or f"{gone.topic}/{gone.partition}" in one.sentence]
    assert named or topic == "store", balance.findings[:5]


def test_the_order_and_a_tile(audited: Audited, tmp_path: Path) -> None:
    topics = audited.topics.copy()
    log = topics.topics["ledger.order", 0]
    fields = schema("ledger_order").decode(log[0].value)
    entries = bytes(32) + fields["entries"][32:]
    log[0] = log[0]._replace(value=schema("ledger_order").encode({**fields, "entries": entries}))
    found = audited.audit(topics).findings
    assert ("audit.altered_order", log[0][:3]) in [(one.code, tuple(one.at)) for one in found], found[:5]
    spoiled = tmp_path / "ledger"
    shutil.copytree(audited.ledger, spoiled)
    tile = min(spoiled.glob("tile/0/000*"))
    tile = tile if tile.is_file() else max(tile.iterdir(), key=lambda path: int(path.name))
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    found = audited.audit(ledger=spoiled).findings
    assert ("audit.altered_tile", ("tile/0/000", 0, 0)) in [(one.code, tuple(one.at)) for one in found]


# The trace store.

_ONE: LiteralString = (
    " WHERE (source_topic, partition, source_offset) = "
    "(SELECT source_topic, partition, source_offset FROM {table} ORDER BY 1, 2, 3 LIMIT 1)"
)
_CHANGES: dict[str, LiteralString] = {
    "text": "UPDATE {table} SET {column} = coalesce({column}, '') || 'x'",
    "integer": "UPDATE {table} SET {column} = coalesce({column}, 0) + 1000000",
    "bigint": "UPDATE {table} SET {column} = coalesce({column}, 0) + 1000000",
    "bytea": "UPDATE {table} SET {column} = coalesce({column}, ''::bytea) || '\\x00'::bytea",
    "boolean": "UPDATE {table} SET {column} = NOT coalesce({column}, false)",
}
"""A column's value changed, by its type."""

_CASES: dict[str, tuple[LiteralString, set[str]]] = {
    "deleted": ("DELETE FROM {table}", {"audit.missing_row"}),
    "moved": ("UPDATE {table} SET source_offset = 1000000", {"audit.missing_row", "audit.surplus_row"}),
    "of no source": ("UPDATE {table} SET source_topic = 'elsewhere'", {"audit.missing_row", "audit.surplus_row"}),
}


def spoil(connection: Connection[Any], table: str, change: LiteralString, column: str = "recipient") -> None:
    """Change the rows of the first submission that a table has rows of."""
    query = sql.SQL(change + _ONE).format(table=sql.Identifier(table), column=sql.Identifier(column))
    assert connection.execute(query).rowcount > 0


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("case", _CASES)
def test_a_row_is_deleted_or_moved(audited: Audited, table: str, case: str) -> None:
    change, codes = _CASES[case]
    first = sql.SQL("SELECT source_topic, partition, source_offset FROM {} ORDER BY 1, 2, 3 LIMIT 1")
    with audited.rows() as connection:
        assert audited.row_findings(connection) == []
        place = connection.execute(first.format(sql.Identifier(table))).fetchone()
        assert place is not None
        spoil(connection, table, change)
        found = audited.row_findings(connection)
    assert {one.code for one in found} == codes, found[:3]
    assert (f"{table}.{place[0]}", place[1], place[2]) in [tuple(one.at) for one in found], found[:3]


def test_a_row_is_altered(audited: Audited) -> None:
    """In any column, which is said."""
    with audited.rows() as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = %s",
            [audited.store.schema],
        ).fetchall()
    checked = 0
    for table, name, kind in columns:
        is_key = name in {"source_topic", "partition", "source_offset"} or (table, name) == ("deliveries", "recipient")
        if table not in TABLES or is_key or name in {"terms", "delay_ms"}:  # made of the others
            continue
        with audited.rows() as connection:
            spoil(connection, table, _CHANGES[kind], name)
            found = audited.row_findings(connection)
        assert {one.code for one in found} == {"audit.altered_row"}, (table, name, found[:3])
        assert all(f" {name} " in one.sentence for one in found), (name, found[:3])
        checked += 1
    assert checked == sum(map(len, TABLES.values())) - len(TABLES) - 1


def test_a_store_that_says_that_it_is_further_than_the_trace(audited: Audited) -> None:
    with audited.rows() as connection:
        connection.execute("UPDATE offsets SET next_offset = next_offset + 1000000")
        found = audited.row_findings(connection)
    assert {(one.code, one.at.topic) for one in found} == {("audit.altered_row", "offsets")}
    with audited.rows() as connection:
        connection.execute("INSERT INTO offsets VALUES ('elsewhere', 0, 1)")
        assert [one.code for one in audited.row_findings(connection)] == ["audit.surplus_row"]


def test_a_store_that_lags_is_not_blamed(audited: Audited) -> None:
    """Rows of the last trace record (of one that moves no earlier copy) aren't there; the store says so."""
    traces = [(place[1], log) for place, log in audited.topics.topics.items() if place[0] == "trace" and log]
    partition, before, record = next(
        (partition, [read.offset + 1 for read in log[:-1]], record)
        for partition, log in traces
        for record in [schema("trace").decode(log[-1].value)]
        if not any(event["status"] or (event["summary"] or {}).get("business", "new") != "new"
                   for event in record["events"])
    )  # fmt: skip
    with audited.rows() as connection:
        for event in record["events"]:
            for table in TABLES:
                one = "DELETE FROM {} WHERE source_topic = %s AND partition = %s AND source_offset = %s"
                connection.execute(
                    sql.SQL(one).format(sql.Identifier(table)), [record["topic"], partition, event["offset"]]
                )
        connection.execute(
            "UPDATE offsets SET next_offset = %s WHERE partition = %s", [before[-1] if before else 0, partition]
        )
        assert audited.row_findings(connection) == []


# Who looked: the rows, which hold what the topic held when somebody last asked.


@pytest.fixture(scope="module")
def looked(exchange: Exchange, audited: Audited) -> Audited:
    """Somebody looked, twice, and somebody asked who did."""
    world = exchange.world
    for number in range(2):
        Accesses(world.base).record(Access("trace", "auditor", "", f"d{number}"), [("documents", 0, number)])
    AccessStore(world.base, world.database_url).catch_up()
    return audited


def looks(audited: Audited, connection: Connection[Any], topics: Copied | None = None) -> list[tuple[str, Coordinates]]:
    findings = Findings()
    source = topics or Copied(audited.topics.source)
    counts = AccessAudit(connection, source, audited.cut, findings).run()
    assert min(counts) >= 2
    return [(one.code, one.at) for one in findings.listed]


_LAST: LiteralString = " WHERE record_offset = (SELECT max(record_offset) FROM accesses_v1.accesses)"


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("UPDATE accesses_v1.accesses SET by = 'somebody else'", {"audit.altered_row"}),
        ("UPDATE accesses_v1.accesses SET append_ms = append_ms + 1", {"audit.altered_row"}),
        ("UPDATE accesses_v1.shown SET source_offset = source_offset + 1", {"audit.altered_row"}),
        ("DELETE FROM accesses_v1.shown", {"audit.altered_row"}),
        ("DELETE FROM accesses_v1.accesses", {"audit.missing_row"}),
        (
            "INSERT INTO accesses_v1.accesses "
            "SELECT record_offset + 1000, access, append_ms, action, by, reason, asked FROM accesses_v1.accesses",
            {"audit.surplus_row"},
        ),
    ],
)
def test_a_row_of_who_looked(looked: Audited, change: LiteralString, codes: set[str]) -> None:
    with looked.rows() as connection:
        assert looks(looked, connection) == []
        last = connection.execute("SELECT max(record_offset) FROM accesses_v1.accesses").fetchone()
        assert last is not None
        assert connection.execute(sql.SQL(change + _LAST)).rowcount == 1
        found = looks(looked, connection)
    assert {code for code, _ in found} == codes
    assert found[0][1] == ("accesses", 0, last[0] + (1_000 if codes == {"audit.surplus_row"} else 0))


def test_a_look_that_was_altered_or_moved_after_it_was_taken_into_the_rows(looked: Audited) -> None:
    topics = Copied(looked.topics.source)
    log = topics.topics[ACCESSES, 0] = list(topics.read(ACCESSES, 0))
    fields = schema("access").decode(log[-1].value)
    with looked.rows() as connection:
        altered = topics.copy()
        other = schema("access").encode({**fields, "reason": "another"})
        altered.topics[ACCESSES, 0][-1] = log[-1]._replace(value=other)
        moved = topics.copy()
        a, b = log[-2:]
        moved.topics[ACCESSES, 0][-2:] = [b._replace(offset=a.offset), a._replace(offset=b.offset)]
        for spoiled in (altered, moved):
            assert ("audit.altered_row", ("accesses", 0, log[-1].offset)) in looks(looked, connection, spoiled)
