"""Every figure that a process of the exchange gives to Prometheus: its name, unit and meaning; there are no others.

Each process serves the groups that it is about, on an address of its own (`exchange.local.endpoint`), so that a figure
never stands at zero where nobody counts it. docs/metrics.md is this list, held there by a test; so are the alert rules
and the dashboard.

Guarantees: the hop counts a batch at a time, never a message. Labels are bounded: topics, partitions, kinds, outcomes
and codes are few and ours; senders are those that were refused most recently, at most `SENDERS_MAX` with their codes;
nothing unverified becomes a label.
Does not: hold anything over a restart; counters begin again at 0, which Prometheus knows how to read.

Source: Prometheus, "Metric and label naming"; OpenMetrics 1.0.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import accumulate
from threading import Lock
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SENDERS_MAX = 500
"""Senders and codes told apart at a time; whoever was refused longest ago is forgotten first."""

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histograms, in seconds. 1.0 is the bound of the objective in deploy/prometheus/rules.yml."""


class Declared(NamedTuple):
    """One figure. `group`: who serves it; `name`: as it is scraped."""

    group: str
    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


DECLARED: list[Declared] = []


class Group(CollectorRegistry):
    """The figures of one kind of process."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Declare what only grows; it is scraped as ``name_total``."""
        DECLARED.append(Declared(self.name, f"{name}_total", "counter", labels, meaning))
        return Counter(name, meaning, labels, registry=self)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """Declare what goes up and down."""
        DECLARED.append(Declared(self.name, name, "gauge", labels, meaning))
        return Gauge(name, meaning, labels, registry=self)

    def histogram(self, name: str, meaning: str) -> Histogram:
        """Declare durations, in seconds."""
        DECLARED.append(Declared(self.name, name, "histogram", (), meaning))
        return Histogram(name, meaning, buckets=SECONDS, registry=self)

    def weighed(self, name: str, meaning: str, label: str) -> Weighed:
        """Declare durations that are told many at once."""
        DECLARED.append(Declared(self.name, name, "histogram", (label,), meaning))
        made = Weighed(name, meaning, label)
        self.register(made)
        return made


class Weighed(Collector):
    """A histogram that takes many equal durations in one call; `prometheus_client`'s takes one."""

    def __init__(self, name: str, meaning: str, label: str) -> None:
        self._name, self._meaning, self._label = name, meaning, label
        self._lock = Lock()
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, label: str, seconds: float, count: int) -> None:
        """Count `count` durations of `seconds` each."""
        with self._lock:
            counts = self._counts.setdefault(label, [0] * (len(SECONDS) + 1))
            counts[bisect_left(SECONDS, seconds)] += count
            self._sums[label] = self._sums.get(label, 0.0) + seconds * count

    def collect(self) -> Iterable[Metric]:
        """Give what was counted."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=[self._label])
        bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
        with self._lock:
            for label, counts in self._counts.items():
                buckets = list(zip(bounds, accumulate(counts), strict=True))
                family.add_metric([label], buckets, self._sums[label])
        yield family


class Refused:
    """Rejections by verified sender and code, of the `SENDERS_MAX` that were refused last."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._recent: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, refused: Iterable[tuple[str, str]]) -> None:
        """Count each; forgets the others beyond the bound."""
        for one in refused:
            self._recent[one] = None
            self._recent.move_to_end(one)
            self._counter.labels(*one).inc()
        while len(self._recent) > SENDERS_MAX:
            self._counter.remove(*self._recent.popitem(last=False)[0])


class AsOf:
    """Up to when a reader has read: all that was appended before is behind it."""

    def __init__(self, gauge: Gauge) -> None:
        self._at_s = time.time()
        gauge.set_function(lambda: max(0.0, time.time() - self._at_s))

    def reached(self, at_ms: float | None) -> None:
        """Note it, ms since 1970 UTC; None: it isn't known now, and what was noted stands."""
        if at_ms is not None:
            self._at_s = at_ms / 1000


HOP = Group("hop")
READER = Group("readers of the trace")
LEDGER = Group("ledger")
PROMISES = Group("promises")
TRACE_STORE = Group("trace-store")
ARCHIVE = Group("archive")
THROUGHPUT = Group("throughput")
GATEWAY = Group("gateway")
OBSERVER = Group("observer")
GROUPS: Sequence[Group] = (HOP, READER, LEDGER, PROMISES, TRACE_STORE, ARCHIVE, THROUGHPUT, GATEWAY, OBSERVER)

# The hop, one worker.
HOP_RECORDS = HOP.counter(
    "exchange_hop_records", "Submissions decided and committed, by what became of them", "kind", "outcome", "code"
)
HOP_REFUSED = Refused(HOP.counter(
    "exchange_hop_refused", "Submissions of a verified sender that were refused, of the senders refused last",
    "sender", "code",
))  # fmt: skip
HOP_DELIVERY = HOP.weighed(
    "exchange_hop_delivery_seconds",
    "From a submission's append (broker's clock) to its commit (worker's): of each batch and partition the longest,"
    " counted once for each submission",
    "topic",
)
HOP_BATCH = HOP.histogram("exchange_hop_batch_seconds", "A batch, from read to committed")
HOP_WAITS = HOP.counter("exchange_hop_waits", "Batches broken off because the world was away", "code")
HOP_COMMITTED = HOP.gauge("exchange_hop_last_commit_timestamp_seconds", "When this worker committed last")
HOP_PARTITIONS = HOP.gauge("exchange_hop_partitions", "Partitions that this worker has taken over")
HOP_CLAIMS = HOP.gauge("exchange_hop_claims", "Ids that this worker remembers, to know duplicates by")
HOP_RESTORE = HOP.gauge("exchange_hop_restore_seconds", "How long this worker's last taking over took")

# Whoever follows the trace: ledger, promises, trace store.
READER_BEHIND = READER.gauge(
    "exchange_reader_behind_seconds", "All that was appended to the trace longer ago than this is dealt with", "reader"
)

LEDGER_LEAVES = LEDGER.gauge("exchange_ledger_leaves", "Events in the signed tree")
LEDGER_BATCH = LEDGER.histogram("exchange_ledger_batch_seconds", "A batch of events, from read to signed checkpoint")
LEDGER_SIGNED = LEDGER.gauge("exchange_ledger_last_checkpoint_timestamp_seconds", "When a checkpoint was signed last")

PROMISES_SIGNED = PROMISES.counter("exchange_promises_statements", "Promises and lapses signed", "topic")

TRACE_EVENTS = TRACE_STORE.counter("exchange_trace_store_events", "Events stored")
TRACE_WRITE = TRACE_STORE.histogram(
    "exchange_trace_store_write_seconds", "A portion of the trace, written and committed"
)

ARCHIVE_ARCHIVED = ARCHIVE.counter("exchange_archive_records", "Records archived", "topic")
ARCHIVE_LEFT = ARCHIVE.counter("exchange_archive_left_records", "Records that left their topic", "topic")
ARCHIVE_ERASED = ARCHIVE.counter("exchange_archive_erasures", "Decisions to erase that were carried out")
ARCHIVE_PASS = ARCHIVE.gauge("exchange_archive_pass_seconds", "How long the last pass took")
ARCHIVE_PASSED = ARCHIVE.gauge(
    "exchange_archive_last_pass_timestamp_seconds",
    "When a pass last ended: all that was appended before it is archived",
)

THROUGHPUT_DELTAS = THROUGHPUT.counter(
    "exchange_throughput_deltas",
    "Deltas of the hop that Faust brought: counted, repeat, or skipped and read again",
    "how",
)
THROUGHPUT_COUNTED = THROUGHPUT.gauge(
    "exchange_throughput_last_count_timestamp_seconds", "When a delta was last counted"
)

GATEWAY_REQUESTS = GATEWAY.counter("exchange_gateway_requests", "Requests answered", "method", "route", "status")
GATEWAY_SECONDS = GATEWAY.weighed("exchange_gateway_request_seconds", "From a request to its answer's end", "route")
GATEWAY_RECORDS = GATEWAY.counter("exchange_gateway_records", "Records taken from agencies, durable at the broker")
GATEWAY_LAG = GATEWAY.gauge("exchange_gateway_lag_records", "The hop's lag as this gateway sees it, before it says 429")

# The observer: what is true of the whole exchange, whichever process is dead.
LAG = OBSERVER.gauge("exchange_hop_lag_records", "Submissions that the hop hasn't committed", "topic", "partition")
COMMIT_AGE = OBSERVER.gauge(
    "exchange_hop_commit_age_seconds",
    "How long the hop has committed nothing of a source partition in which something waits; 0 while nothing does",
    "topic", "partition",
)  # fmt: skip
UNWITNESSED_AGE = OBSERVER.gauge(
    "exchange_ledger_unwitnessed_age_seconds", "How long there have been events that no witness has seen; +Inf: ever"
)
UNSTAMPED_AGE = OBSERVER.gauge(
    "exchange_ledger_unstamped_age_seconds", "How long there have been events that no time-stamp covers; +Inf: ever"
)
UNCOUNTED = OBSERVER.gauge(
    "exchange_throughput_uncounted_records",
    "Submissions committed by the hop and in no window yet",
    "topic",
    "partition",
)
GAPS = OBSERVER.gauge(
    "exchange_throughput_gap_records", "Submissions that no window will ever count, see `exchange throughput`",
    "topic", "partition",
)  # fmt: skip
PROVINCE_SENT = OBSERVER.gauge(
    "exchange_province_last_sent_timestamp_seconds",
    "When a unit of the province last sent a document or report that was accepted; 0: never", "province",
)  # fmt: skip
UNACKNOWLEDGED = OBSERVER.gauge(
    "exchange_inbox_oldest_unacknowledged_timestamp_seconds",
    "When the copy was delivered that has waited longest for its recipient's first receipt; 0: none waits",
)
BOOKS_HOLD = OBSERVER.gauge(
    "exchange_books_hold", "Whether the books balanced at the last `exchange audit`: 1 or 0", "deep"
)
BOOKS_AUDITED = OBSERVER.gauge("exchange_books_audited_timestamp_seconds", "When the last audit began", "deep")
HOURS_OVERDUE = OBSERVER.gauge("exchange_hours_overdue", "Hours whose books should be closed by now and aren't")
BOOKS_FINDINGS = OBSERVER.gauge("exchange_books_findings", "What the last audit found, by code", "deep", "code")
DISK_FREE = OBSERVER.gauge("exchange_disk_free_bytes", "What is left on the disk under a part of the home", "part")
LOOKED = OBSERVER.gauge(
    "exchange_observer_last_look_timestamp_seconds",
    "When the observer last saw this; older than its period: it can't",
    "part",
)


def page() -> str:
    """The list as docs/metrics.md has it."""
    lines = []
    for group in GROUPS:
        lines += [
            f"### {group.name[0].upper()}{group.name[1:]}",
            "",
            "| name | type | labels | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{one.name}` | {one.type} | {', '.join(one.labels)} | {one.meaning} |"
            for one in DECLARED
            if one.group == group.name
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
