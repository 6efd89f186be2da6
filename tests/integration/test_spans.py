"""One document is one trace over gateway, hop and inbox, in a collector's eyes; the worker is a real process."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange import spans
from exchange.agencies.levels import Level
from exchange.cli.running import options_of
from exchange.local.endpoint import address_of
from exchange.local.processes import ChildProcess, stop_together
from exchange.local.waiting import wait_until
from exchange.signatures import sign_record
from exchange.statements.compose import encode
from tests.support.collector import Collector, collecting
from tests.support.figures import of, scrape
from tests.support.gateways import serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

NAME = "hop-spans"
WITHIN_S = 60.0
AVRO = {"content-type": "application/avro"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv(spans.URL_SETTING, found.url)
        monkeypatch.setenv(spans.SHARE_SETTING, "1")
        yield found


def partitions_of(exchange: Exchange, name: str) -> float:
    address = address_of(exchange.world.home, name)
    return of(scrape(address), "exchange_hop_partitions") if address else 0.0


@pytest.fixture
def worker(exchange: Exchange, collector: Collector) -> Iterator[ChildProcess]:
    """A second worker of the shared exchange, which takes its share of the partitions while the test lasts."""
    assert collector.spans == []
    child = ChildProcess(NAME, exchange.world.home.run, signal.SIGTERM)
    command = [sys.executable, "-m", "exchange", *options_of(exchange.world), "worker", NAME]
    child.start(command, Path.cwd(), os.environ)
    try:
        assert wait_until(lambda: partitions_of(exchange, NAME) > 0, WITHIN_S), child.output_tail(20)
        yield child
    finally:
        stop_together([child])
        keyed = exchange.world.layout.keyed
        assert wait_until(lambda: partitions_of(exchange, "hop-1") == keyed, WITHIN_S)


def test_a_document_is_one_trace_from_gateway_to_gateway(
    exchange: Exchange, collector: Collector, worker: ChildProcess
) -> None:
    sender, recipient = exchange.member(Level.PROVINCE, 2), exchange.member(Level.DISTRICT, 2)
    sent = {}
    with (
        spans.exporting("gateway-test"),
        serving(exchange.world) as served,
        served.client(recipient) as into,
        served.client(sender) as out,
    ):
        for _ in range(4 * exchange.world.layout.keyed):
            trace_id, fields = secrets.token_hex(16), exchange.document(sender, [recipient.agency.code])
            headers = AVRO | {"traceparent": f"00-{trace_id}-{'b2' * 8}-01"}
            record = sign_record(encode("document", fields), [sender.key], [])
            out.post("/v1/statements", content=record, headers=headers).raise_for_status()
            sent[fields["id"]] = trace_id
        delivered, cursor = set[str | None](), None
        while not delivered >= sent.keys():
            wanted = {"limit": 500, "wait": 30, "fields": True} | ({} if cursor is None else {"cursor": cursor})
            page = into.get("/v1/inbox", params=wanted).json()
            assert page["deliveries"], sent.keys() - delivered
            delivered |= {one["fields"].get("id") for one in page["deliveries"]}
            cursor = page["cursor"]
    told = {"gateway.submit", "hop", "gateway.deliver"}
    ours = set(sent.values())
    assert wait_until(lambda: any(set(collector.of(one)) == told for one in ours), WITHIN_S), collector.spans[:5]
    trace = next(found for one in ours if set(found := collector.of(one)) == told)
    assert trace["gateway.submit"].parent == "b2" * 8
    assert trace["hop"].parent == trace["gateway.deliver"].parent == trace["gateway.submit"].span_id
    assert (trace["hop"].process, trace["gateway.deliver"].process) == (NAME, "gateway-test")
    assert trace["hop"].attributes["exchange.outcome"] == "accepted"
    assert trace["hop"].attributes["exchange.place"] == trace["gateway.deliver"].attributes["exchange.place"]
    [batch] = trace["hop"].links
    assert trace["hop"].trace_id in next(one for one in collector.spans if one.trace_id == batch).links
    # Every document has the gateway's two spans; the other worker has no collector, so some have no hop's.
    assert all({"gateway.submit", "gateway.deliver"} <= set(collector.of(one)) for one in ours)
    assert worker.is_running
