"""The nation at any size: how many workers and brokers it takes, and what runs out first. Pure: no I/O, no clock.

A model, not a measurement. What goes into it is in `bench/given.py`; `docs/scaling.md` explains it;
`bench/scale_page.py` writes its table, and says how far it is from what was measured with one, two and four workers.

The parts, in the order in which `plan` takes them: statements a second → how many a transaction holds at that rate
→ what a worker can do → workers → brokers → the parts that there is one of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bench.given import DAY_MS, DAYS_PER_MONTH, KEYED_OUTPUTS, SECONDS_PER_HOUR, Cluster, Costs, Machines, Nation
from exchange.backbone.hop import POLL_S
from exchange.backbone.lanes import BATCH_RECORDS_MAX
from exchange.pipeline.store import REMEMBER_MS
from exchange.pipeline.sweep import BURDEN_MIN, CARRIED_BYTES

LEVELS = 4
"""An inbox topic each, with `Cluster.inbox_partitions` partitions."""


@dataclass(frozen=True, slots=True)
class Mix:
    """The average statement, of which `documents` (0 … 1) are documents."""

    documents: float
    copies: float
    """Inbox records that it leads to, about: a document's copies, a status's one."""

    def of(self, document: float, status: float) -> float:
        """The average of a figure."""
        return self.documents * document + (1 - self.documents) * status


def mix_of(nation: Nation) -> Mix:
    """Documents and the receipts for them."""
    documents = 1 / nation.statements_per_document
    return Mix(documents, documents * nation.copies_per_document + 1 - documents)


DOCUMENTS_ONLY = Mix(1.0, Nation().copies_per_document)


@dataclass(frozen=True, slots=True)
class Load:
    """Statements a second: averaged over all time, over office hours, in the busiest minute."""

    average_per_s: float
    office_per_s: float
    peak_per_s: float


def load(nation: Nation, times: float) -> Load:
    """What `times` the nation says."""
    statements = nation.documents_per_month * times * nation.statements_per_document
    a_day = statements / nation.working_days_per_month
    return Load(
        average_per_s=statements / (DAYS_PER_MONTH * 24 * SECONDS_PER_HOUR),
        office_per_s=a_day / (nation.office_hours_per_day * SECONDS_PER_HOUR),
        peak_per_s=a_day * nation.busiest_hour_share / SECONDS_PER_HOUR * nation.busiest_minute_factor,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A transaction as it comes about at some rate. `partitions`: that it writes to; `sources`: that it reads from."""

    statements: float
    partitions: float
    sources: float
    work_ms: float
    wait_ms: float

    @property
    def per_s(self) -> float:
        """Statements a second, one such transaction after the other."""
        return 1e3 * self.statements / (self.work_ms + self.wait_ms)


def occupied(balls: float, boxes: float) -> float:
    """How many of `boxes` hold something after so many `balls` fell at random."""
    if boxes <= 1:
        return min(balls, boxes)
    return boxes * -math.expm1(balls * math.log1p(-1 / boxes))


def batch_of(
    statements: float, workers: int, mix: Mix, costs: Costs, cluster: Cluster, replica_wait_ms: float
) -> Batch:
    """The transaction of so many statements, by one of so many workers. The requests go one after the other."""
    sources = occupied(statements, cluster.keyed_partitions / workers)
    inboxes = LEVELS * occupied(statements * mix.copies / LEVELS, cluster.inbox_partitions)
    partitions = KEYED_OUTPUTS * sources + inboxes
    # Of the signatures, a second thread verifies half while the first one does.
    work_us = mix.of(costs.document_worker_us, costs.status_worker_us) - costs.verify_us / 2
    wait_ms = costs.transaction_ms + partitions * (costs.partition_ms + replica_wait_ms)
    return Batch(statements, partitions, sources, statements * work_us / 1e3, wait_ms)


def batch_at(rate_per_s: float, workers: int, mix: Mix, costs: Costs, cluster: Cluster, wait_ms: float) -> Batch:
    """What a transaction holds when each worker gets so many statements a second: what came during the last one."""
    least, most = 1.0, float(BATCH_RECORDS_MAX)
    for _ in range(60):  # halving: the more a batch holds, the longer it takes, but never in proportion
        middle = (least + most) / 2
        batch = batch_of(middle, workers, mix, costs, cluster, wait_ms)
        if rate_per_s * (batch.work_ms + batch.wait_ms + 1e3 * POLL_S) / 1e3 > middle:
            least = middle
        else:
            most = middle
    return batch_of(least, workers, mix, costs, cluster, wait_ms)


def worker_max_per_s(workers: int, mix: Mix, costs: Costs, cluster: Cluster, wait_ms: float) -> float:
    """Statements a second that one of so many workers can do: full batches without a pause."""
    return batch_of(BATCH_RECORDS_MAX, workers, mix, costs, cluster, wait_ms).per_s


@dataclass(frozen=True, slots=True)
class Use:
    """How much of something is used, in its own unit, and how much there may be."""

    what: str
    used: float
    most: float

    @property
    def share(self) -> float:
        """Above 1: it isn't enough."""
        return self.used / self.most


@dataclass(frozen=True, slots=True)
class Plan:
    """The nation at some size. `uses`: of what doesn't grow by buying more of it, the scarcest first."""

    times: float
    load: Load
    batch: Batch
    worker_max_per_s: float
    workers: int
    workers_for: str
    worker_memory_gb: float
    worker_claims: float
    restore_s: float
    brokers: int
    brokers_for: str
    broker_disk_tb: float
    broker_network_mb_per_s: float
    database_tb: float
    database_months_max: float
    ledger_tb: float
    attachments_tb: float
    uses: tuple[Use, ...]


def plan(times: float, nation: Nation, costs: Costs, cluster: Cluster, machines: Machines) -> Plan:
    """Workers and brokers for `times` the nation, and what there is only one of."""
    mix, said = mix_of(nation), load(nation, times)
    claims = _claims(nation, times)
    workers, workers_for = _workers(said, claims, mix, costs, cluster, machines)
    wait_ms = machines.replica_wait_ms if cluster.replication > 1 else 0.0
    office = batch_at(said.office_per_s / workers, workers, mix, costs, cluster, wait_ms)
    peak = batch_at(said.peak_per_s / workers, workers, mix, costs, cluster, wait_ms)
    kept = kept_bytes(nation, times, office, costs, cluster)
    disk_tb = cluster.replication * sum(kept.values()) / 1e12
    traffic = _wire_bytes_per_s(said, office, nation, costs, cluster) / 1e6
    brokers, brokers_for = _brokers(said, peak, workers, mix, disk_tb, traffic, costs, cluster, machines)
    history = nation.documents_per_month * times * nation.horizon_months
    events = history * nation.statements_per_document
    restore_s = _restore_s(claims / workers, cluster.keyed_partitions / workers, costs)
    database_tb = (
        history * (costs.document_trace_bytes + nation.statuses_per_document * costs.status_trace_bytes) / 1e12
    )
    ledger_cpu = said.peak_per_s * costs.event_ledger_us / 1e6
    deltas_per_s = said.peak_per_s * peak.sources / peak.statements
    traces_per_s = 1 / mix.of(1 / costs.document_traces_per_s, 1 / costs.status_traces_per_s)
    audited = _audited(nation, times, cluster)
    full_tb = machines.database_disk_tb * machines.disk_full_max
    uses = (
        Use("partitions (a worker each, for their memory)", workers, cluster.keyed_partitions),
        Use("restoring a worker's store, s", restore_s, machines.restore_s_max),
        Use("the trace store's writing, rows/s", said.peak_per_s, traces_per_s * machines.single_busy_max),
        Use("the trace store's disk, TB", database_tb, full_tb),
        Use("Faust, cores", deltas_per_s * costs.delta_throughput_us / 1e6, machines.single_busy_max),
        Use("the ledger's writer, cores", ledger_cpu, machines.single_busy_max),
        Use("the ledger's files, millions", events * costs.event_ledger_files / 1e6, machines.ledger_files_max / 1e6),
        Use("the full audit, h", audited * costs.submission_audit_us / 1e6 / SECONDS_PER_HOUR, machines.audit_h_max),
    )
    return Plan(
        times=times,
        load=said,
        batch=peak,
        worker_max_per_s=worker_max_per_s(workers, mix, costs, cluster, wait_ms),
        workers=workers,
        workers_for=workers_for,
        worker_memory_gb=_memory_gb(claims / workers, costs),
        worker_claims=claims / workers,
        restore_s=restore_s,
        brokers=brokers,
        brokers_for=brokers_for,
        broker_disk_tb=disk_tb / brokers,
        broker_network_mb_per_s=traffic / brokers,
        database_tb=database_tb,
        database_months_max=nation.horizon_months * full_tb / database_tb,
        ledger_tb=events * costs.event_ledger_bytes / 1e12,
        attachments_tb=history * nation.attachment_mb_per_document / 1e6,
        uses=tuple(sorted(uses, key=lambda use: -use.share)),
    )


def _claims(nation: Nation, times: float) -> float:
    """Of all workers: what the window holds, and documents that never came to their end."""
    months = REMEMBER_MS / DAY_MS / DAYS_PER_MONTH
    in_window = months * nation.statements_per_document
    for_ever = max(nation.horizon_months - months, 0) * nation.unfinished_share
    return nation.documents_per_month * times * (in_window + for_ever)


def _restore_s(claims: float, partitions: float, costs: Costs) -> float:
    """What a worker reads at most of the changelogs of its partitions, just before a sweep is whole (see `Sweep`)."""
    carrying = claims * CLAIM_ENTRY_BYTES / CARRIED_BYTES
    read_claims = BURDEN_MIN * partitions + 3 * claims
    return (read_claims * costs.restore_claim_us + carrying * costs.restore_record_us) / 1e6


def _memory_gb(claims: float, costs: Costs) -> float:
    return costs.worker_empty_mb / 1e3 + claims * costs.claim_bytes / 1e9


def _workers(
    said: Load, claims: float, mix: Mix, costs: Costs, cluster: Cluster, machines: Machines
) -> tuple[int, str]:
    """How many, and what for: at least two; without one of them the others still do the peak."""
    wait_ms = machines.replica_wait_ms if cluster.replication > 1 else 0.0
    by_pace = 2
    while (
        said.peak_per_s / (by_pace - 1)
        > machines.worker_busy_max * worker_max_per_s(by_pace - 1, mix, costs, cluster, wait_ms)
        and by_pace < 1_000
    ):
        by_pace += 1
    by_memory = math.ceil(claims * costs.claim_bytes / 1e9 / (machines.worker_memory_gb - costs.worker_empty_mb / 1e3))
    if by_memory > by_pace:
        return by_memory, "memory"
    return by_pace, "pace" if by_pace > 2 else "one may fail"


def kept_bytes(nation: Nation, times: float, batch: Batch, costs: Costs, cluster: Cluster) -> dict[str, float]:
    """Bytes of each shelf of topics that are kept at the horizon, one replica."""
    documents_per_day = nation.documents_per_month * times / DAYS_PER_MONTH
    horizon_days = nation.horizon_years * 365
    kept = {}
    for shelf, size in _bytes_per_document(nation, batch, costs):
        days = cluster.retention_days[shelf]
        kept[shelf] = documents_per_day * (horizon_days if days is None else min(days, horizon_days)) * size
    return kept


def _bytes_per_document(nation: Nation, batch: Batch, costs: Costs) -> Iterator[tuple[str, float]]:
    """By shelf: a document with its receipts, each in batches as they come about."""
    deltas = nation.statements_per_document * batch.sources / batch.statements
    for shelf in sorted({*costs.document_bytes, *costs.status_bytes, *costs.delta_bytes}):
        document, status = costs.document_bytes.get(shelf, 0.0), costs.status_bytes.get(shelf, 0.0)
        yield shelf, document + nation.statuses_per_document * status + deltas * costs.delta_bytes.get(shelf, 0.0)


CLAIM_ENTRY_BYTES = 75
"""A claim of one or two recipients as a changelog record holds it, key and all."""

BROKERS_MAX = 1_000
"""More than that means: not this way."""

READERS = {"trace": 2, "store": 0}
"""How often what is appended is read: the trace by its store and the ledger, anything else once."""


def _wire_bytes_per_s(said: Load, batch: Batch, nation: Nation, costs: Costs, cluster: Cluster) -> float:
    """Into and out of all brokers in the busiest minute: written, replicated, read."""
    documents_per_s = said.peak_per_s / nation.statements_per_document
    copies = cluster.replication  # once from the producer, then to the followers
    sizes = _bytes_per_document(nation, batch, costs)
    return documents_per_s * sum(size * (copies + READERS.get(shelf, 1)) for shelf, size in sizes)


def _brokers(
    said: Load, batch: Batch, workers: int, mix: Mix, disk_tb: float, traffic_mb: float, costs: Costs,
    cluster: Cluster, machines: Machines,
) -> tuple[int, str]:  # fmt: skip
    """How many, and what for. A follower is taken to cost as much CPU as the leader, which is more than it does."""
    each_us = mix.of(costs.document_broker_us, costs.status_broker_us)
    each_us += (costs.transaction_broker_us + batch.partitions * costs.partition_broker_us) / batch.statements
    cores = said.peak_per_s * each_us * cluster.replication / 1e6
    spare = machines.broker_cores * machines.broker_busy_max - workers * costs.idle_broker_cores
    by_cpu = math.ceil(cores / spare) if spare > 0 else math.inf  # every worker asks every broker
    wanted = {
        "replication": cluster.replication,
        "CPU": by_cpu,
        "disk": math.ceil(disk_tb / (machines.broker_disk_tb * machines.disk_full_max)),
        "network": math.ceil(traffic_mb / (machines.broker_network_mb_per_s * machines.broker_busy_max)),
    }
    why = max(wanted, key=lambda name: wanted[name])
    return int(min(wanted[why], BROKERS_MAX)), why


def _audited(nation: Nation, times: float, cluster: Cluster) -> float:
    """Submissions that a full audit goes through: all that are kept."""
    days = cluster.retention_days["submissions"] or nation.horizon_years * 365
    return nation.documents_per_month * times * nation.statements_per_document * days / DAYS_PER_MONTH
