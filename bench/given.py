"""What the model of the nation is given: assumed of the nation and of machines, declared of topics, measured of costs.

Every assumption stands here with its reason and nowhere else; change one and run ``python -m bench scale``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exchange.backbone.topics import Layout
from exchange.pipeline.routing import INBOX_TOPICS
from exchange.statements import SUBMISSION_TOPICS

DAY_MS = 86_400_000
DAYS_PER_MONTH = 365 / 12
MONTHS_PER_YEAR = 12
SECONDS_PER_HOUR = 3_600

KEYED_OUTPUTS = 3
"""Trace, deltas, changelog: a record in each for every source partition that a transaction touches."""

CLAIMS_MEASURED = 1_000_000
"""That the worker of ``claims.million.memory`` holds."""

Found = Mapping[str, Mapping[str, Any]]
"""The results of the benchmarks, by name, as in bench/results.json."""


@dataclass(frozen=True, slots=True)
class Nation:
    """What is said. All but the first is assumed.

    `copies_per_document`: nine in ten have one recipient, as in the benchmarks. `statuses_per_copy`: arrived, and one
    that says what became of it (decision 0003 counts two). `working_days_per_month`, `office_hours_per_day`,
    `busiest_hour_share` (of a day's documents; spread evenly an hour of eight would have 0.125) and
    `busiest_minute_factor` (within that hour; deadlines and systems that send at the full hour) make the peak.
    `unfinished_share`: documents of which some copy never reaches a final state, so that they are never forgotten.
    `attachment_mb_per_document`: a scanned letter of a few pages. `horizon_years`: as long as the topics are kept
    before they are moved into an archive, which doesn't exist yet.
    """

    documents_per_month: float = 550_000
    copies_per_document: float = 1.4
    statuses_per_copy: float = 2.0
    working_days_per_month: float = 22
    office_hours_per_day: float = 8
    busiest_hour_share: float = 0.2
    busiest_minute_factor: float = 3
    unfinished_share: float = 0.02
    attachment_mb_per_document: float = 1.0
    horizon_years: float = 5

    @property
    def statuses_per_document(self) -> float:
        """Receipts for all copies of a document."""
        return self.copies_per_document * self.statuses_per_copy

    @property
    def statements_per_document(self) -> float:
        """Itself and its receipts."""
        return 1 + self.statuses_per_document

    @property
    def horizon_months(self) -> float:
        """The horizon, in months."""
        return self.horizon_years * MONTHS_PER_YEAR


@dataclass(frozen=True, slots=True)
class Machines:
    """What a process may take, and the machines that are bought. All assumed: middling servers of today.

    Busy shares leave room for what is above the peak, and for catching up after a failure. `restore_s_max`: README
    promises that partitions that moved are served again within 10 s. `replica_wait_ms`: what another broker's
    acknowledgement adds to a produce request, in one data centre. `audit_h_max`: a full audit every night.
    `single_busy_max`: of one core, for the views that are one process. `ledger_files_max`: a file system of 4 TB has
    that many inodes at 16 KiB each.
    """

    worker_memory_gb: float = 4.0
    worker_busy_max: float = 0.7
    broker_cores: int = 8
    broker_busy_max: float = 0.5
    broker_disk_tb: float = 4.0
    broker_network_mb_per_s: float = 125.0
    database_disk_tb: float = 4.0
    disk_full_max: float = 0.7
    replica_wait_ms: float = 0.5
    restore_s_max: float = 10.0
    single_busy_max: float = 0.7
    audit_h_max: float = 12.0
    ledger_files_max: float = 250e6


@dataclass(frozen=True, slots=True)
class Cluster:
    """The topics, from deploy/topics.toml. `retention_days`: by `shelf_of` topic; None is for ever."""

    keyed_partitions: int
    inbox_partitions: int
    replication: int
    retention_days: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, a document or status each. `_us`: CPU time of one core.

    `transaction_*`: by the transaction, `partition_*`: by the partition that it writes to. `document_bytes`,
    `status_bytes`: by `shelf_of` topic, one replica, in full batches; `delta_bytes`: what a further pair of transaction
    and source partition adds. `restore_record_us`: a changelog record; `restore_claim_us`: a claim in it.
    `idle_broker_cores`: what a worker costs each broker by asking it for more, whether there is any or not.
    """

    verify_us: float
    document_worker_us: float
    status_worker_us: float
    document_broker_us: float
    status_broker_us: float
    transaction_ms: float
    partition_ms: float
    transaction_broker_us: float
    partition_broker_us: float
    document_bytes: Mapping[str, float]
    status_bytes: Mapping[str, float]
    delta_bytes: Mapping[str, float]
    claim_bytes: float
    worker_empty_mb: float
    idle_broker_cores: float
    restore_claim_us: float
    restore_record_us: float
    document_traces_per_s: float
    status_traces_per_s: float
    document_trace_bytes: float
    status_trace_bytes: float
    delta_throughput_us: float
    event_ledger_us: float
    event_ledger_bytes: float
    event_ledger_files: float
    submission_audit_us: float


def shelf_of(topic: str) -> str:
    """The topics that are kept alike as one: ``submissions``, ``inboxes``, or the topic itself."""
    if topic in SUBMISSION_TOPICS:
        return "submissions"
    return "inboxes" if topic in INBOX_TOPICS.values() else topic


def cluster_of(layout: Layout) -> Cluster:
    """The topics of a layout."""
    retention: dict[str, float | None] = {}
    for topic in layout.topics:
        kept_ms = topic.leaves_after_ms
        retention[shelf_of(topic.name)] = None if kept_ms is None else kept_ms / DAY_MS
    return Cluster(layout.keyed, layout.inbox, max(topic.replication for topic in layout.topics), retention)


def costs_of(found: Found) -> Costs:
    """Read the costs off the results. Raises: LookupError with the name of a benchmark that was never run."""
    document, status, trickled = (
        _run(found, f"costs.{name}") for name in ("document.drained", "status.drained", "document.trickled")
    )
    delta_bytes = _per_delta(document, trickled)
    transactions = found["costs.transaction"]["runs"]
    transaction_ms, partition_ms = line([(run["partitions"], run["ms"]) for run in transactions])
    _, partition_us = line([(run["partitions"], run["broker_us"]) for run in transactions])
    document_us, idle = _value(found, "hop.singly_signed.broker_cpu"), _value(found, "costs.worker_idle")
    claim_us, lone_claim_us = (_value(found, f"costs.restore.{name}_a_record") for name in ("many", "one"))
    traced = {kind: _run(found, f"costs.trace_store.{kind}") for kind in ("document", "status")}
    ledger = _run(found, "costs.ledger")
    empty_mb = _value(found, "costs.worker_empty")
    return Costs(
        verify_us=1e6 / _value(found, "yardstick"),
        document_worker_us=_value(found, "hop.singly_signed.worker_cpu"),
        status_worker_us=status["worker_us"],
        document_broker_us=document_us,
        status_broker_us=status["broker_us"],
        transaction_ms=max(transaction_ms, 0.0),
        partition_ms=partition_ms,
        transaction_broker_us=_lone_transaction_us(trickled, document_us, partition_us, idle),
        partition_broker_us=partition_us,
        document_bytes=_without_deltas(document, delta_bytes),
        status_bytes=_without_deltas(status, delta_bytes),
        delta_bytes=delta_bytes,
        claim_bytes=(_value(found, "claims.million.memory") - empty_mb) * 1e6 / CLAIMS_MEASURED,
        worker_empty_mb=empty_mb,
        idle_broker_cores=idle,
        restore_claim_us=claim_us,
        restore_record_us=max(lone_claim_us - claim_us, 0.0),
        document_traces_per_s=_value(found, "costs.trace_store.document"),
        status_traces_per_s=_value(found, "costs.trace_store.status"),
        document_trace_bytes=traced["document"]["bytes_per_event"],
        status_trace_bytes=traced["status"]["bytes_per_event"],
        delta_throughput_us=_value(found, "costs.throughput"),
        event_ledger_us=_value(found, "costs.ledger"),
        event_ledger_bytes=ledger["bytes_per_event"],
        event_ledger_files=ledger["files_per_thousand"] / 1e3,
        submission_audit_us=_value(found, "costs.audit"),
    )


def _value(found: Found, name: str) -> float:
    return float(found[name]["value"])


def _run(found: Found, name: str) -> Mapping[str, Any]:
    run: Mapping[str, Any] = found[name]["runs"][0]
    return run


def _lone_transaction_us(lone: Mapping[str, Any], document_us: float, partition_us: float, idle: float) -> float:
    """The broker's CPU time of a hop's transaction beyond its records and partitions: offsets, markers, readers."""
    deltas = lone["deltas"] / lone["statements"]
    partitions = KEYED_OUTPUTS * deltas + Nation().copies_per_document
    spent_us: float = lone["broker_us"]
    beyond = spent_us - document_us - partitions * partition_us - 1e6 * idle / lone["per_second"]
    return float(max(beyond / deltas, 0.0))


def _by_shelf(run: Mapping[str, Any]) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for topic, size in run["bytes"].items():
        sizes[shelf_of(topic)] = sizes.get(shelf_of(topic), 0.0) + size
    return sizes


def _per_delta(full: Mapping[str, Any], lone: Mapping[str, Any]) -> dict[str, float]:
    """What one more (transaction, source partition) adds to what the hop writes, from two paces."""
    deltas = lone["deltas"] / lone["statements"] - full["deltas"] / full["statements"]
    before = _by_shelf(full)
    grown = {shelf: (size - before.get(shelf, 0.0)) / deltas for shelf, size in _by_shelf(lone).items()}
    return {shelf: size for shelf, size in grown.items() if shelf != "submissions" and size > 0}


def _without_deltas(run: Mapping[str, Any], delta_bytes: Mapping[str, float]) -> dict[str, float]:
    deltas = run["deltas"] / run["statements"]
    return {shelf: max(size - deltas * delta_bytes.get(shelf, 0.0), 0.0) for shelf, size in _by_shelf(run).items()}


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where the straight line through the points, by least squares, begins (at 0), and its slope."""
    count = len(points)
    x_mean, y_mean = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    return y_mean - slope * x_mean, slope
