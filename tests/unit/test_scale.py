"""The model of the nation: what it computes from given costs, and that docs/scaling.md says what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench.given import Cluster, Costs, Machines, Nation, cluster_of, costs_of, line, shelf_of
from bench.results import FILE
from bench.scale import DOCUMENTS_ONLY, batch_at, batch_of, kept_bytes, load, mix_of, occupied, plan, worker_max_per_s
from bench.scale_page import PAGE, filled, short, tables
from exchange.backbone.lanes import BATCH_RECORDS_MAX
from exchange.backbone.topics import layout

CLUSTER = Cluster(48, 48, 3, {"submissions": 90, "inboxes": 180, "trace": None, "store": None})
COSTS = Costs(
    verify_us=50, document_worker_us=125, status_worker_us=125, document_broker_us=30, status_broker_us=30,
    transaction_ms=5, partition_ms=1, transaction_broker_us=1_000, partition_broker_us=100,
    document_bytes={"submissions": 2_000, "inboxes": 3_000, "trace": 900, "store": 80},
    status_bytes={"submissions": 500, "inboxes": 400, "trace": 200, "store": 90},
    delta_bytes={"trace": 200, "store": 200}, claim_bytes=250, worker_empty_mb=125, idle_broker_cores=0.01,
    restore_claim_us=2, restore_record_us=8, document_traces_per_s=7_000, status_traces_per_s=7_000,
    document_trace_bytes=2_000, status_trace_bytes=700, delta_throughput_us=400, event_ledger_us=15,
    event_ledger_bytes=100, event_ledger_files=0.012, submission_audit_us=300,
)  # fmt: skip
NATION, MACHINES = Nation(), Machines()


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


def test_the_page_says_what_the_model_says(content: dict[str, Any]) -> None:
    page = PAGE.read_text("utf-8")
    assert filled(page, content) == page, "run `python -m bench scale`"
    for table in tables(content).values():
        assert table in page


def test_load_counts_receipts_and_peaks() -> None:
    nation = Nation(documents_per_month=22 * 28_800, copies_per_document=1, statuses_per_copy=1)
    said = load(nation, 1)
    assert said.office_per_s == pytest.approx(2)  # a document a second of the office hours, and its receipt
    assert said.peak_per_s == pytest.approx(2 * 28_800 * 0.2 / 3_600 * 3)
    assert said.average_per_s < said.office_per_s < said.peak_per_s
    assert load(nation, 10).peak_per_s == pytest.approx(10 * said.peak_per_s)


@pytest.mark.parametrize(
    ("balls", "boxes", "expected"),
    [(0, 48, 0), (1, 48, 1), (2, 2, 1.5), (1e6, 48, 48), (5, 1, 1), (1, 0.5, 0.5)],
)
def test_occupied(balls: float, boxes: float, expected: float) -> None:
    assert occupied(balls, boxes) == pytest.approx(expected)


def test_a_slow_trickle_is_a_transaction_a_statement() -> None:
    batch = batch_at(0.1, 2, DOCUMENTS_ONLY, COSTS, CLUSTER, 0)
    assert batch.statements == pytest.approx(1)
    assert batch.sources == pytest.approx(1)


def test_a_batch_holds_what_came_during_the_last_one() -> None:
    batch = batch_at(500, 2, DOCUMENTS_ONLY, COSTS, CLUSTER, 0)
    assert 1 < batch.statements < BATCH_RECORDS_MAX
    cycle_s = (batch.work_ms + batch.wait_ms + 10) / 1e3
    assert batch.statements == pytest.approx(500 * cycle_s, rel=1e-6)


def test_a_flood_fills_batches() -> None:
    assert batch_at(1e6, 2, DOCUMENTS_ONLY, COSTS, CLUSTER, 0).statements == pytest.approx(BATCH_RECORDS_MAX)


def test_a_full_batch_waits_for_a_request_a_partition() -> None:
    batch = batch_of(5_000, 1, DOCUMENTS_ONLY, COSTS, CLUSTER, 0)
    assert batch.partitions == pytest.approx(3 * 48 + 4 * 48, rel=1e-3)
    assert batch.wait_ms == pytest.approx(5 + batch.partitions)
    assert batch.work_ms == pytest.approx(5_000 * (125 - 25) / 1e3)


def test_partitions_slow_a_worker_down() -> None:
    few = replace(CLUSTER, keyed_partitions=4, inbox_partitions=4)
    few_per_s, many_per_s = (worker_max_per_s(1, DOCUMENTS_ONLY, COSTS, c, 0) for c in (few, CLUSTER))
    assert few_per_s > 1.5 * many_per_s
    assert worker_max_per_s(12, DOCUMENTS_ONLY, COSTS, CLUSTER, 0) > many_per_s


def test_retention_bounds_what_is_kept() -> None:
    batch = batch_of(BATCH_RECORDS_MAX, 1, mix_of(NATION), COSTS, CLUSTER, 0)
    kept, longer = (kept_bytes(replace(NATION, horizon_years=y), 1, batch, COSTS, CLUSTER) for y in (1, 2))
    assert longer["inboxes"] == kept["inboxes"]
    assert longer["trace"] == pytest.approx(2 * kept["trace"])
    per_day = 550_000 / (365 / 12)
    assert kept["inboxes"] == pytest.approx(per_day * 180 * (3_000 + 2.8 * 400))


def test_a_small_nation_has_two_workers_and_a_broker_a_replica() -> None:
    found = plan(0.01, NATION, COSTS, CLUSTER, MACHINES)
    assert (found.workers, found.workers_for) == (2, "one may fail")
    assert (found.brokers, found.brokers_for) == (3, "replication")


def test_memory_and_pace_ask_for_workers() -> None:
    by_memory = plan(100, NATION, COSTS, CLUSTER, MACHINES)
    assert by_memory.workers_for == "memory"
    assert by_memory.worker_memory_gb <= MACHINES.worker_memory_gb
    by_pace = plan(100, NATION, replace(COSTS, claim_bytes=1, document_worker_us=5_000, status_worker_us=5_000),
                   CLUSTER, MACHINES)  # fmt: skip
    assert by_pace.workers_for == "pace"
    assert by_pace.load.peak_per_s <= 0.7 * by_pace.worker_max_per_s * (by_pace.workers - 1) * 1.1


def test_disk_asks_for_brokers() -> None:
    found = plan(100, NATION, COSTS, CLUSTER, MACHINES)
    assert found.brokers_for == "disk"
    assert found.broker_disk_tb <= MACHINES.broker_disk_tb * MACHINES.disk_full_max


def test_idle_workers_keep_brokers_busy() -> None:
    found = plan(100, NATION, replace(COSTS, idle_broker_cores=0.15), CLUSTER, MACHINES)
    assert found.brokers_for == "CPU"


def test_restoring_reads_three_times_what_is_remembered_however_long_the_log() -> None:
    every_claim_ends = replace(NATION, unfinished_share=0)
    short_, long = (plan(1, replace(every_claim_ends, horizon_years=y), COSTS, CLUSTER, MACHINES) for y in (1, 5))
    assert long.restore_s == pytest.approx(short_.restore_s)
    assert long.restore_s == pytest.approx(3 * long.worker_claims * COSTS.restore_claim_us / 1e6, rel=0.4)


def test_the_scarcest_comes_first() -> None:
    uses = plan(10, NATION, COSTS, CLUSTER, MACHINES).uses
    assert [use.share for use in uses] == sorted((use.share for use in uses), reverse=True)
    quick = plan(10, NATION, replace(COSTS, restore_claim_us=0.001, restore_record_us=0.001), CLUSTER, MACHINES)
    assert uses[0].what.startswith("restoring")
    assert not quick.uses[0].what.startswith("restoring")


def test_the_costs_are_read_off_the_results(content: dict[str, Any]) -> None:
    costs = costs_of({one["name"]: one for one in content["results"]})
    assert costs.document_bytes["submissions"] > 2_048
    assert costs.document_bytes["inboxes"] > costs.document_bytes["submissions"]
    assert "submissions" not in costs.delta_bytes
    assert costs.delta_bytes["throughput.deltas"] > 0
    assert costs.partition_ms > 0
    assert costs.transaction_broker_us > costs.document_broker_us


def test_a_missing_benchmark_is_named() -> None:
    with pytest.raises(LookupError, match=r"costs\.document\.drained"):
        costs_of({})


def test_the_cluster_is_the_declared_one() -> None:
    found = cluster_of(layout(embedded=False))
    assert (found.keyed_partitions, found.inbox_partitions, found.replication) == (48, 48, 3)
    assert found.retention_days["submissions"] == 90
    assert found.retention_days["inboxes"] == 180
    assert found.retention_days["trace"] == 365
    assert found.retention_days["store"] is None
    assert {shelf_of("documents.urgent"), shelf_of("statuses")} == {"submissions"}
    assert (shelf_of("inbox.commune"), shelf_of("store")) == ("inboxes", "store")


def test_line() -> None:
    assert line([(1, 3), (2, 5), (4, 9)]) == pytest.approx((1, 2))


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123, "0.012"), (1.26, "1.3"), (9.96, "10.0"), (163, "160"), (3_912, "3,900")]
)
def test_short(value: float, text: str) -> None:
    assert short(value) == text
