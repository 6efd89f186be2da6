"""What processes give Prometheus: the declarations, the histogram, the bound on senders, and the endpoint itself."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from connectors.edxml import metrics as connector
from exchange import metrics
from exchange.cli.attesting import LIMITS
from exchange.errors import Misconfigured
from exchange.local.endpoint import address_of, endpoint
from exchange.local.home import Home
from tests.support.figures import of, scrape

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
ENDS = ("_bucket", "_count", "_sum")
USED_IN = (
    "deploy/prometheus/rules.yml",
    "deploy/prometheus/rules.test.yml",
    "deploy/prometheus/rules.days.test.yml",
    "deploy/grafana/exchange.json",
)


def test_the_page_lists_what_is_declared() -> None:
    """`python -m exchange.metrics` prints what belongs there."""
    found = re.search(r"<!-- figures[^>]*-->\n(.*)<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert found[1].strip() == metrics.page().strip()


def test_the_page_names_the_connectors_figures_too() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = {one.name for one in connector.REGISTRY.collect()}
    assert len(names) == 2
    assert all(f"`{name}_total`" in page for name in names)


@pytest.mark.parametrize("path", USED_IN)
def test_rules_and_dashboard_use_what_is_declared(path: str) -> None:
    names = {one.name for one in metrics.DECLARED}
    names |= {f"{one.name}{end}" for one in metrics.DECLARED if one.type == "histogram" for end in ENDS}
    used = set(re.findall(r"\bexchange_\w+", (ROOT / path).read_text(encoding="utf-8")))
    assert len(used) > 5
    assert used <= names, used - names


def test_the_objective_has_a_bucket() -> None:
    rules = (ROOT / USED_IN[0]).read_text(encoding="utf-8")
    assert {float(bound) for bound in re.findall(r'le="([^"]+)"', rules)} <= set(metrics.SECONDS)


def test_the_rules_know_the_limits_of_the_ledger() -> None:
    rules = (ROOT / USED_IN[0]).read_text(encoding="utf-8")
    assert f"max(exchange_ledger_unwitnessed_age_seconds) > {LIMITS.unwitnessed_s:.0f}\n" in rules
    assert f"max(exchange_ledger_unstamped_age_seconds) > {LIMITS.unstamped_s:.0f}\n" in rules


def test_names_say_their_unit() -> None:
    names = [one.name for one in metrics.DECLARED]
    assert len(names) == len(set(names))
    for one in metrics.DECLARED:
        assert re.fullmatch(r"exchange_[a-z_]+", one.name)
        assert one.name.endswith("_total") == (one.type == "counter")
        assert one.name.endswith("_seconds") or one.type != "histogram"


def test_weighed_durations_are_a_histogram() -> None:
    group = metrics.Group("test")
    weighed = group.weighed("exchange_test_seconds", "Of a test", "topic")
    metrics.DECLARED.pop()
    weighed.add("documents", 0.05, 3)  # a bound is in its bucket
    weighed.add("documents", 0.3, 2)
    weighed.add("documents", 100.0, 1)
    (family,) = weighed.collect()
    buckets = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    assert (buckets["0.025"], buckets["0.05"], buckets["0.25"], buckets["0.5"]) == (0, 3, 3, 5)
    assert (buckets["60.0"], buckets["+Inf"]) == (5, 6)
    sums = {one.name: one.value for one in family.samples if not one.name.endswith("_bucket")}
    assert sums == {"exchange_test_seconds_count": 6, "exchange_test_seconds_sum": pytest.approx(100.75)}


def test_senders_are_bounded_and_the_latest_stay() -> None:
    registry = CollectorRegistry()
    refused = metrics.Refused(Counter("refused", "Of a test", ("sender", "code"), registry=registry))
    refused.add([("H26", "document.unknown")])
    for number in range(metrics.SENDERS_MAX):
        refused.add([(f"H26.{number}", "certificate.revoked"), ("H26", "document.unknown")])
    samples = [one for family in registry.collect() for one in family.samples if one.name == "refused_total"]
    assert len(samples) == metrics.SENDERS_MAX
    counts = {one.labels["sender"]: one.value for one in samples}
    assert counts["H26"] == metrics.SENDERS_MAX + 1
    assert "H26.0" not in counts
    assert counts[f"H26.{metrics.SENDERS_MAX - 1}"] == 1


def test_a_process_serves_its_groups_and_says_where(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    metrics.HOP_RECORDS.labels("document", "accepted", "").inc(3)
    before = time.time()
    with endpoint(home, "hop-1", metrics.HOP) as address:
        assert address.startswith("127.0.0.1:")
        assert address_of(home, "hop-1") == address
        (target,) = json.loads((home.targets / "hop-1.json").read_text(encoding="utf-8"))
        assert target["targets"] == [address]
        assert target["labels"]["instance"] == "hop-1"
        found = scrape(address)
        assert of(found, "exchange_hop_records_total", kind="document", outcome="accepted", code="") >= 3
        assert 0 < of(found, "process_start_time_seconds") <= before
        assert not any(name.startswith("exchange_ledger") for name, _ in found)
    assert address_of(home, "hop-1") == ""
    assert not list(home.targets.iterdir())


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_METRICS_HOST", "192.0.2.1")  # of documentation (RFC 5737): nobody's
    with pytest.raises(Misconfigured, match="EXCHANGE_METRICS_HOST"), endpoint(Home(tmp_path), "hop-1", metrics.HOP):
        pass


def test_a_reader_is_as_far_behind_as_it_was_seen_last() -> None:
    as_of = metrics.AsOf(metrics.READER_BEHIND.labels("test"))

    def behind_s() -> float:
        samples = [one for family in metrics.READER.collect() for one in family.samples]
        return next(one.value for one in samples if one.labels == {"reader": "test"})

    as_of.reached((time.time() - 100) * 1000)
    as_of.reached(None)
    assert behind_s() == pytest.approx(100, abs=5)
    as_of.reached((time.time() + 100) * 1000)  # the broker's clock is ahead of ours
    assert behind_s() == 0
    metrics.READER_BEHIND.remove("test")
