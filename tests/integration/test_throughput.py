"""The throughput is exact: on the real Kafka and PostgreSQL, with aborted transactions, whoever is killed."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from exchange.agencies.levels import Level
from exchange.auditor import Coordinates, audit
from exchange.cli.app import app
from exchange.cli.output import NO_WORLD
from exchange.local.progress import silent
from exchange.local.services import Services
from exchange.local.simulation.nation import Nation
from exchange.local.waiting import wait_until
from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.rebuilding import Rebuilt, rebuild
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN
from tests.support.running import Exchange
from tests.support.throughput_world import (
    WITHIN_S,
    Deltas,
    Figures,
    Sums,
    World,
    figures_in,
    positions,
    rows_of,
    sketch_figures,
    subtree_figures,
    sums_of,
    world_of,
)

pytestmark = pytest.mark.integration

MINUTE = 29_000_000


@pytest.fixture
def world(services: Services, tmp_path: Path) -> Iterator[World]:
    world = world_of(services, tmp_path)
    yield world
    with psycopg.connect(services.database_url) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {world.schema} CASCADE".encode())


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_every_total_is_exact_though_transactions_abort_and_the_worker_is_killed(world: World) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    deltas, dice = Deltas(seed, MINUTE), random.Random(seed)
    world.start()
    try:
        for _ in range(5):
            start = world.counted()
            for number in range(200):
                batch = deltas.batch()
                is_kept = number % 8 != 7
                world.write(batch, commit=is_kept)
                if is_kept:
                    deltas.commit(batch)
            ahead = sum(world.next_offsets.values()) - start
            world.await_counted(start + int(ahead * dice.random()))
            world.kill()
            written = world.log.stat().st_size
            world.start()
        world.await_counted()
        assert wait_until(lambda: b"throughput.started" in world.log.read_bytes()[written:], WITHIN_S), world.output()
        world.stop()
    finally:
        world.kill()
    assert world.gaps() == []
    assert world.rows() == world.expected
    assert world.figures() == world.recounted()
    assert world.store.positions() == world.next_offsets
    assert_results_are_the_closed_windows(world)


@pytest.mark.fault
def test_started_while_the_broker_comes_back_it_counts_all_the_same(world: World) -> None:
    """What the broker answered then named no topics, so the group gave it no partitions."""
    deltas = Deltas(5, MINUTE)
    batch = deltas.batch()
    world.write(batch)
    world.start("--blind")
    try:
        assert wait_until(lambda: "Ignoring missing topic" in world.log.read_text(encoding="utf-8"), WITHIN_S)
        world.await_counted()
    finally:
        world.kill()
    assert world.rows() == world.expected


def write_apart(world: World, deltas: Deltas, batches: int) -> None:
    """Write batches, each after the one before it is counted, so that no two are fetched at once."""
    for _ in range(batches):
        batch = deltas.batch()
        world.write(batch)
        deltas.commit(batch)
        counted = world.counted()
        wait_until(lambda before=counted: world.counted() > before, 3)  # type: ignore[misc]


@pytest.mark.fault
def test_what_was_read_but_not_counted_is_read_again(world: World) -> None:
    """Faust would take it for read already: its note of that can come after partitions were sought back."""
    deltas = Deltas(6, MINUTE)
    world.start("--late")
    try:
        write_apart(world, deltas, 3)
        world.await_counted()
    finally:
        world.kill()
    assert (world.rows(), world.gaps()) == (world.expected, [])


@pytest.mark.fault
def test_what_faust_stops_handing_over_is_noticed_and_counted_by_a_new_process(world: World) -> None:
    deltas = Deltas(12, MINUTE)
    process = world.start("--stalled")
    try:
        for _ in range(20):
            write_apart(world, deltas, 1)
            if process.poll() is not None:
                break
        assert process.wait(WITHIN_S) == NO_WORLD, world.output()
        assert "throughput.stalled" in world.output()
        assert world.counted() < sum(world.next_offsets.values())
        world.await_counted()
    finally:
        world.kill()
    assert (world.rows(), world.gaps()) == (world.expected, [])


@pytest.mark.fault
def test_what_was_passed_over_is_read_from_the_log_and_is_no_gap(world: World) -> None:
    deltas = Deltas(7, MINUTE)
    world.start("--lossy")
    try:
        write_apart(world, deltas, 30)
        world.await_counted()
    finally:
        world.kill()
    assert "throughput.skipped" in world.log.read_text(encoding="utf-8")
    assert (world.rows(), world.gaps()) == (world.expected, [])


def test_offsets_are_committed_as_far_as_is_counted(world: World) -> None:
    """Or a restart would read everything again: between a transaction's end and the next lies no record."""
    deltas = Deltas(8, MINUTE)
    for _ in range(40):
        batch = deltas.batch()
        world.write(batch)
        deltas.commit(batch)
    with world.counting():
        world.await_counted()
        assert wait_until(lambda: all(world.ends()[p] - at <= 1 for p, at in world.committed().items()), 10), (
            world.committed(),
            world.ends(),
        )


def assert_results_are_the_closed_windows(world: World) -> None:
    """Every part that its partition has left is in the topic as it is in PostgreSQL, and no other."""
    with world.store.snapshot() as database:
        rows = database.execute(
            "SELECT c.* FROM cells c JOIN positions p USING (topic, partition) "
            "WHERE c.start + c.size + %s <= p.newest_minute",
            [LATENESS_MIN],
        ).fetchall()
    names = {minutes: name for name, minutes in SIZES_MIN.items()}
    expected: dict[str, dict[str, list[int]]] = {}
    for size, start, topic, partition, since, *cell, documents, deliveries, size_bytes, _ in rows:
        window = expected.setdefault(f"{names[size]}/{start}/{since}/{topic}/{partition}", {})
        window["|".join(map(str, cell))] = [documents, deliveries, size_bytes]
    with world.store.snapshot() as database:
        others = database.execute(
            "SELECT size, start, topic, partition, since, 'subtree|' || path, ARRAY[sent, received, refused, receipts] "
            "FROM subtrees UNION ALL SELECT size, start, topic, partition, since, "
            "CASE measure WHEN 'receipt' THEN 'receipt|' || level || '|' ELSE 'latency|' END || bucket, ARRAY[counted] "
            "FROM sketches"
        ).fetchall()
    for size, start, topic, partition, since, name, sums in others:
        closed = expected.get(f"{names[size]}/{start}/{since}/{topic}/{partition}")
        if closed is not None:
            closed[name] = sums
    assert len(expected) > 50
    assert {key.decode(): json.loads(value)["cells"] for key, value in world.results().items()} == expected


def test_a_hole_between_deltas_is_told_and_kept_and_the_rest_counted(world: World) -> None:
    deltas = Deltas(1, MINUTE)
    lost, kept = deltas.delta("documents", 1), deltas.delta("statuses", 1)
    deltas.commit([lost, kept])
    after = deltas.delta("documents", 1)
    world.write([kept, after])
    for life in (1, 2):
        with world.counting():
            world.await_counted()
            assert wait_until(lambda: world.output().count("throughput.started") == life, WITHIN_S)  # noqa: B023
    newest = max(cell["minute"] for cell in after["cells"])
    assert world.gaps() == [("documents", 1, 0, lost["next_offset"], 0, newest)]
    assert world.rows() == world.expected
    assert world.output().count("throughput.gap") == 1


def test_a_rebuild_gives_the_same_rows_and_names_those_that_were_altered(world: World) -> None:
    deltas = Deltas(9, MINUTE)
    for _ in range(60):
        batch = deltas.batch()
        world.write(batch)
        deltas.commit(batch)
    with world.counting():
        world.await_counted()
    first = rebuilt(world)
    assert (first.differences, world.rows(), world.figures()) == ([], world.expected, world.recounted())
    assert first.closed > 10
    with psycopg.connect(world.database_url) as database:
        database.execute(f"SET search_path TO {world.schema}".encode())
        database.execute("CREATE TEMPORARY TABLE closed AS SELECT min(newest_minute) - 61 AS start FROM positions")
        for spoil in (
            "UPDATE cells c SET documents = documents + 1 FROM closed WHERE size = 60 AND c.start < closed.start",
            "DELETE FROM subtrees s USING closed WHERE s.start < closed.start",
            "INSERT INTO gaps VALUES ('documents', 1, 0, 1, 0, 1)",
        ):
            assert database.execute(spoil.encode()).rowcount > 0
    second = rebuilt(world)
    assert second.differences is not None
    assert [line.split(":")[0] for line in second.differences] == ["cells", "subtrees", "gaps"]
    assert (world.rows(), world.figures(), world.gaps()) == (world.expected, world.recounted(), [])


def test_the_counting_goes_on_in_rows_that_are_rebuilt_beneath_it(world: World) -> None:
    deltas = Deltas(10, MINUTE)
    with world.counting():
        for _ in range(4):
            for _ in range(15):
                batch = deltas.batch()
                world.write(batch)
                deltas.commit(batch)
            assert not rebuilt(world).differences
        world.await_counted()
    assert (world.rows(), world.figures(), world.gaps()) == (world.expected, world.recounted(), [])


def rebuilt(world: World) -> Rebuilt:
    return rebuild(world.base, world.database_url, topic=world.names.deltas, schema=world.schema)


@pytest.mark.fault
def test_sessions_that_postgresql_ends_lose_and_double_nothing(world: World) -> None:
    deltas = Deltas(3, MINUTE)
    with world.counting(), psycopg.connect(world.database_url, autocommit=True) as database:
        for _ in range(4):
            for _ in range(10):
                batch = deltas.batch()
                world.write(batch)
                deltas.commit(batch)
            world.await_counted()
            ended = database.execute(
                "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = %s",
                ["exchange throughput"],
            ).fetchone()
            assert ended is not None
            assert ended[0] >= 1
    assert (world.rows(), world.gaps()) == (world.expected, [])


def test_a_delta_again_is_a_repeat(world: World) -> None:
    one = Deltas(2, MINUTE).delta("documents", 0)
    world.write([one])
    expected = world.expected.copy()
    world.write([one])
    with world.counting():
        assert wait_until(lambda: "throughput.repeat" in world.output(), WITHIN_S), world.output()
        world.await_counted()
    assert (world.rows(), world.gaps()) == (expected, [])


@pytest.mark.timeout(300)
def test_after_a_simulated_traffic_every_window_is_what_the_audit_recounts(exchange: Exchange) -> None:
    world = exchange.world
    nation = Nation(
        world.base, world.authority, world.directory_log, world.attachments,
        seed=5, run="throughput", partitions=world.layout.keyed, report=silent,
    )  # fmt: skip
    nation.send(500, None, bad_share=0.1)
    exchange.settle()
    recounted: Sums = Counter()
    figures = Figures()
    names = ("minute", "kind", "outcome", "code", "urgency", "sender_level", "recipient_level")
    columns = ("senders", "recipients", "refused", "signers")

    def counted(at: Coordinates, append_ms: int, key: tuple[Any, ...], sums: tuple[int, ...]) -> None:
        """Told by the audit, which shares no code with hop or Faust; `append_ms`: of the delta."""
        nonlocal recounted, figures
        if len(key) == len(names):
            cell = dict(zip(names, key, strict=True))
            recounted += sums_of({**cell, **dict(zip(("documents", "deliveries", "bytes"), sums, strict=True))})
            return
        what, minute, value = key
        if what in columns:
            figures += subtree_figures(minute, value, columns.index(what))
        elif what == "appended":
            figures += sketch_figures(minute, at.topic, "latency", 0, append_ms - minute * 60_000 - value)
        else:
            figures += sketch_figures(minute, at.topic, "receipt", *value)

    balance = audit(world.base, world.authority.registrar_public_key, counted=counted)
    assert balance.holds, balance.findings
    store = ThroughputStore(world.database_url)
    reached = {source: offset for source, offset in balance.cut.items() if offset}
    assert wait_until(lambda: positions(store) == reached, WITHIN_S), (positions(store), reached)
    assert rows_of(store) == recounted
    assert sum(recounted.values()) > 1000
    assert wait_until(lambda: figures_in(store) == figures, 30)
    assert {key[0] for key in figures} == {"subtree", "sketch"}
    assert_subtrees_add_up_to_the_levels(store)


def assert_subtrees_add_up_to_the_levels(store: ThroughputStore) -> None:
    """What was sent and received in all subtrees is what the totals of the levels say, window by window."""
    levels = (
        "SELECT size, start, sum(documents)::bigint, sum(deliveries)::bigint FROM throughput WHERE size > 1 "
        "AND outcome = 'accepted' AND kind <> 'status' AND recipient_level = 0 GROUP BY 1, 2 ORDER BY 1, 2"
    )
    subtrees = (
        "SELECT size, start, sum(sent)::bigint, sum(received)::bigint FROM throughput_of_subtrees "
        "GROUP BY 1, 2 HAVING sum(sent) > 0 ORDER BY 1, 2"
    )
    with store.snapshot() as database:
        assert database.execute(levels.encode()).fetchall() == database.execute(subtrees.encode()).fetchall()


def test_the_command_shows_the_newest_window(exchange: Exchange) -> None:
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.COMMUNE)
    _, partition, offset = exchange.submit("document", exchange.document(sender, [recipient.agency.code]), sender)
    store = ThroughputStore(exchange.world.database_url)
    assert wait_until(lambda: positions(store).get(("documents", partition), 0) > offset, WITHIN_S)
    shown = command(exchange, "--json", "--from-level", "province", "--to-level", "commune")
    report = json.loads(shown)
    assert (report["window"], report["gaps"]) == ("minute", [])
    cells = {(cell["sender_level"], cell["recipient_level"], cell["outcome"]): cell for cell in report["cells"]}
    assert cells[2, 4, "accepted"]["documents"] >= 1
    assert {cell["sender_level"] for cell in report["cells"]} == {2}
    assert list(report["history"]) == ["province"]
    assert report["history"]["province"][-1] >= 1
    drawn = command(exchange, "--window", "hour")
    assert "Documents and reports by level, hour from" in drawn
    assert "commune" in drawn
    assert "hop, documents" in drawn


def test_the_command_shows_a_part_of_the_tree(exchange: Exchange) -> None:
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.COMMUNE)
    above = [one.code for one in exchange.world.directory_log.directory.latest().ancestors(recipient.agency.code)]
    exchange.submit("document", exchange.document(sender, [recipient.agency.code]), sender)

    def counts(code: str, column: str) -> int:
        shown = json.loads(command(exchange, "--json", "--window", "day", "--subtree", code))
        assert sum(part[column] for part in shown["parts"].values()) == shown["total"][column]
        assert shown["history"][-1] == shown["total"]
        return int(shown["total"][column])

    before = {code: counts(code, "received") for code in above}
    sent = counts(sender.agency.code, "sent")
    exchange.submit("document", exchange.document(sender, [recipient.agency.code]), sender)
    assert wait_until(lambda: counts(sender.agency.code, "sent") > sent, WITHIN_S)
    assert wait_until(lambda: all(counts(code, "received") > before[code] for code in above), WITHIN_S)
    refused = CliRunner().invoke(app, [*home(exchange), "throughput", "--subtree", recipient.agency.code])
    assert refused.exit_code == 2
    refused = CliRunner().invoke(app, [*home(exchange), "throughput", "--subtree", above[0], "--window", "minute"])
    assert refused.exit_code == 2


def home(exchange: Exchange) -> list[str]:
    return ["--home", str(exchange.world.home.folder)]


def command(exchange: Exchange, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*home(exchange), "throughput", *arguments])
    assert done.exit_code == 0, done.output
    return done.output
