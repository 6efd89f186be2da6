"""The throughput is exact: on the real Kafka and PostgreSQL, with aborted transactions, whoever is killed."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from exchange.agencies.levels import Level
from exchange.auditor import audit
from exchange.cli.app import app
from exchange.local.progress import silent
from exchange.local.services import Services
from exchange.local.simulation.nation import Nation
from exchange.local.waiting import wait_until
from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN
from tests.support.running import Exchange
from tests.support.throughput_world import WITHIN_S, Deltas, Sums, World, positions, rows_of, sums_of, world_of

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
    process = world.start()
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
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            written = world.log.stat().st_size
            process = world.start()
        world.await_counted()
        assert wait_until(lambda: b"throughput.started" in world.log.read_bytes()[written:], WITHIN_S), world.output()
        process.terminate()
        assert process.wait(WITHIN_S) == 0, world.output()
    finally:
        process.kill()
        process.wait()
    assert world.gaps() == []
    assert world.rows() == world.expected
    assert world.store.positions() == world.next_offsets
    assert_results_are_the_closed_windows(world)


@pytest.mark.fault
def test_started_while_the_broker_comes_back_it_counts_all_the_same(world: World) -> None:
    """What the broker answered then named no topics, so the group gave it no partitions."""
    deltas = Deltas(5, MINUTE)
    batch = deltas.batch()
    world.write(batch)
    process = world.start("--blind")
    try:
        assert wait_until(lambda: "Ignoring missing topic" in world.log.read_text(encoding="utf-8"), WITHIN_S)
        world.await_counted()
    finally:
        process.kill()
        process.wait()
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
    process = world.start("--late")
    try:
        write_apart(world, deltas, 3)
        world.await_counted()
    finally:
        process.kill()
        process.wait()
    assert (world.rows(), world.gaps()) == (world.expected, [])


@pytest.mark.fault
def test_what_was_passed_over_is_read_from_the_log_and_is_no_gap(world: World) -> None:
    deltas = Deltas(7, MINUTE)
    process = world.start("--lossy")
    try:
        write_apart(world, deltas, 30)
        world.await_counted()
    finally:
        process.kill()
        process.wait()
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
    names = ("minute", "kind", "outcome", "code", "urgency", "sender_level", "recipient_level")

    def counted(key: Any, deliveries: int, size: int) -> None:  # noqa: ANN401
        nonlocal recounted
        cell = dict(zip(names, key, strict=True))
        recounted += sums_of({**cell, "documents": 1, "deliveries": deliveries, "bytes": size})

    balance = audit(world.base, world.authority.registrar_public_key, counted=counted)
    assert balance.holds, balance.findings
    store = ThroughputStore(world.database_url)
    reached = {source: offset for source, offset in balance.cut.items() if offset}
    assert wait_until(lambda: positions(store) == reached, WITHIN_S), (positions(store), reached)
    assert rows_of(store) == recounted
    assert sum(recounted.values()) > 1000


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


def command(exchange: Exchange, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["--home", str(exchange.world.home.folder), "throughput", *arguments])
    assert done.exit_code == 0, done.output
    return done.output
