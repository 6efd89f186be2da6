"""A running exchange gives its figures: what was submitted is counted, readers are up to date, all have an address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from exchange import metrics
from exchange.agencies.levels import Level
from exchange.cli.app import app
from exchange.local.audits import last
from exchange.local.crew import crew_status
from exchange.local.endpoint import address_of
from exchange.local.waiting import wait_until
from exchange.statements import SUBMISSION_TOPICS
from exchange.views.silence import last_sent_ms, oldest_unacknowledged_ms, provinces
from exchange.views.trace_store import TraceStore
from tests.support.figures import Figures, of, scrape
from tests.support.gateways import Served, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

WITHIN_S = 30.0
PROCESSES = ("hop-1", "trace-store", "throughput", "ledger", "promises", "archive", "observer")


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    with serving(exchange.world) as one:
        yield one


def figures_of(exchange: Exchange, name: str) -> Figures:
    return scrape(address_of(exchange.world.home, name))


def await_figures(exchange: Exchange, name: str, is_there: Callable[[Figures], bool]) -> None:
    assert wait_until(lambda: is_there(figures_of(exchange, name)), WITHIN_S), figures_of(exchange, name)


def test_every_process_says_where_its_figures_are(exchange: Exchange) -> None:
    exchange.settle()
    for name in PROCESSES:
        assert wait_until(lambda name=name: bool(address_of(exchange.world.home, name)), WITHIN_S), name  # type: ignore[misc]
        assert of(figures_of(exchange, name), "process_resident_memory_bytes") > 0
    addresses = {row.name: row.address for row in crew_status(exchange.world.home)}
    assert addresses.keys() >= set(PROCESSES)
    assert addresses["hop-1"] == address_of(exchange.world.home, "hop-1")


def test_the_hop_counts_what_it_decides(exchange: Exchange) -> None:
    sender, recipient = exchange.member(Level.COMMUNE), exchange.member(Level.DISTRICT)
    exchange.settle()
    before = figures_of(exchange, "hop-1")
    good = exchange.document(sender, [recipient.agency.code])
    bad = exchange.document(sender, ["H26.99.99.X"])
    exchange.submit_all([exchange.prepare("document", one, sender) for one in (good, bad)])
    exchange.settle()

    def more(name: str, **labels: str) -> Callable[[Figures], bool]:
        return lambda now: of(now, name, **labels) > of(before, name, **labels)

    code = "recipient.unknown"
    for is_there in (
        more("exchange_hop_records_total", kind="document", outcome="accepted"),
        more("exchange_hop_records_total", kind="document", outcome="rejected", code=code),
        more("exchange_hop_refused_total", sender=sender.agency.code, code=code),
        more("exchange_hop_delivery_seconds_count", topic="documents"),
        more("exchange_hop_batch_seconds_count"),
        more("exchange_hop_last_commit_timestamp_seconds"),
        more("exchange_hop_claims"),
    ):
        await_figures(exchange, "hop-1", is_there)
    now = figures_of(exchange, "hop-1")
    assert of(now, "exchange_hop_partitions") == exchange.world.layout.keyed
    waited_s = of(now, "exchange_hop_delivery_seconds_sum", topic="documents")
    assert waited_s > of(before, "exchange_hop_delivery_seconds_sum", topic="documents")


def test_whoever_reads_the_trace_counts_and_is_up_to_date(exchange: Exchange) -> None:
    sender = exchange.member(Level.PROVINCE)
    names = {
        "ledger": "exchange_ledger_leaves",
        "promises": "exchange_promises_statements_total",
        "trace-store": "exchange_trace_store_events_total",
        "throughput": "exchange_throughput_deltas_total",
    }
    before = {name: of(figures_of(exchange, name), figure) for name, figure in names.items()}
    exchange.submit("document", exchange.document(sender, [exchange.member(Level.COMMUNE).agency.code]), sender)
    exchange.settle()
    for name, figure in names.items():
        await_figures(
            exchange,
            name,
            lambda now, name=name, figure=figure: (  # type: ignore[misc]
                of(now, figure) > before[name] and of(now, "exchange_reader_behind_seconds") < 5
            ),
        )


def test_a_gateway_counts_by_address_and_not_by_path(exchange: Exchange, served: Served) -> None:
    with served.client(exchange.member(Level.PROVINCE)) as client:
        for number in range(2):
            assert client.get(f"/v1/trace/nobodys-{number}").status_code == 404
        assert client.get("/nowhere/at/all").status_code == 404
    samples = [one for family in metrics.GATEWAY.collect() for one in family.samples]
    counts = {
        (one.labels["route"], one.labels["status"]): one.value
        for one in samples
        if one.name == "exchange_gateway_requests_total"
    }
    assert counts["none", "404"] >= 1
    assert counts["/v1/token", "200"] >= 1
    assert any("{" in route and status == "404" for route, status in counts), counts
    assert not any("nobodys" in route or "nowhere" in route for route, _ in counts)


def test_the_observer_sees_the_whole_exchange(exchange: Exchange) -> None:
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.COMMUNE)
    exchange.submit("document", exchange.document(sender, [recipient.agency.code]), sender)
    exchange.settle()
    since_s = time.time()

    def has_looked(now: Figures) -> bool:
        parts = ("hop", "throughput", "ledger", "books", "disks", "inboxes")
        return all(of(now, "exchange_observer_last_look_timestamp_seconds", part=part) > 0 for part in parts)

    await_figures(exchange, "observer", has_looked)
    await_figures(
        exchange,
        "observer",
        lambda now: (
            of(now, "exchange_observer_last_look_timestamp_seconds", part="hop") > since_s
            and of(now, "exchange_hop_lag_records") == 0
            and of(now, "exchange_throughput_uncounted_records") == 0
        ),
    )
    now = figures_of(exchange, "observer")
    partitions = [labels for name, labels in now if name == "exchange_hop_commit_age_seconds"]
    assert len(partitions) == exchange.world.layout.keyed * len(SUBMISSION_TOPICS)
    assert of(now, "exchange_hop_commit_age_seconds") == 0
    assert of(now, "exchange_ledger_unwitnessed_age_seconds") < 300
    assert of(now, "exchange_throughput_gap_records") == 0
    assert of(now, "exchange_disk_free_bytes", part="kafka") > 0


def test_provinces_and_waiting_copies_are_read_from_the_trace_store(exchange: Exchange) -> None:
    world, sender = exchange.world, exchange.member(Level.PROVINCE)
    store, code = TraceStore(world.database_url), sender.agency.code.partition(".")[0]
    before_ms = int(time.time() * 1000) - 5_000  # two clocks
    exchange.submit("document", exchange.document(sender, [exchange.member(Level.COMMUNE).agency.code]), sender)
    codes = provinces(exchange.view, datetime.now(UTC).date())
    assert len(codes) == 63
    assert wait_until(lambda: last_sent_ms(store, codes)[code] > before_ms, WITHIN_S)
    found = last_sent_ms(store, codes)
    assert 0 in found.values()  # the cast is small: most provinces never sent
    assert 0 < oldest_unacknowledged_ms(store) < int(time.time() * 1000) + 5_000


def test_an_audit_holds_the_windows_against_its_recount_and_is_kept(exchange: Exchange) -> None:
    home = exchange.world.home
    began_s = time.time()
    done = CliRunner().invoke(app, ["--home", str(home.folder), "audit", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["windows"] >= 0
    found = last(home, deep=False)
    assert found is not None
    assert found.holds
    assert found.began_s >= began_s
