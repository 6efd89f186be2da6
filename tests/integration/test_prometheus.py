"""A real Prometheus with the shipped configuration finds every process of a running exchange; the dashboard draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from exchange.agencies.levels import Level
from exchange.local.waiting import wait_until
from tests.support.daemons import running, tool
from tests.support.gateways import free_port
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).parents[2] / "deploy"
PROCESSES = {"hop-1", "trace-store", "throughput", "ledger", "promises", "archive", "observer"}
WITHIN_S = 60.0


class Prometheus:
    """Asks one."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The answer to an instant query; fails on one that Prometheus doesn't take."""
        answer = httpx.get(f"{self._url}/api/v1/query", params={"query": query}, timeout=10).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, and how its last evaluation went."""
        groups = httpx.get(f"{self._url}/api/v1/rules", timeout=10).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def prometheus(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program, folder = tool("prometheus"), tmp_path_factory.mktemp("prometheus")
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    for shipped, here in (
        ("/srv/exchange/targets", str(exchange.world.home.targets)),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ("- rules.yml", f"- {DEPLOY / 'prometheus' / 'rules.yml'}"),
    ):
        assert config.count(shipped) == 1, shipped
        config = config.replace(shipped, here)
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    port = free_port()
    command = [
        program, "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, f"http://127.0.0.1:{port}", folder) as url:
        yield Prometheus(url)


def test_it_finds_every_process_by_the_home_s_target_files(prometheus: Prometheus) -> None:
    def up() -> set[str]:
        return {one["metric"]["instance"] for one in prometheus.ask('up{job="exchange"} == 1')}

    assert wait_until(lambda: up() >= PROCESSES, WITHIN_S), up()


def test_what_is_sent_arrives_in_it(exchange: Exchange, prometheus: Prometheus) -> None:
    def decided() -> float:
        found = prometheus.ask('sum(exchange_hop_records_total{kind="document", outcome="accepted"})')
        return float(found[0]["value"][1]) if found else 0.0

    sender, recipient = exchange.member(Level.PROVINCE, 1), exchange.member(Level.COMMUNE, 1)
    exchange.settle()
    before = decided()
    exchange.submit("document", exchange.document(sender, [recipient.agency.code]), sender)
    assert wait_until(lambda: decided() > before, WITHIN_S)


def test_the_rules_are_evaluated(prometheus: Prometheus) -> None:
    assert wait_until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), WITHIN_S)
    assert len(prometheus.rules()) > 20
    assert [rule for rule in prometheus.rules() if rule["health"] != "ok"] == []


def test_every_panel_of_the_dashboard_can_be_drawn(prometheus: Prometheus) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "exchange.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(expressions) > 25
    for expression in expressions:
        prometheus.ask(expression.replace("$__rate_interval", "1m"))
