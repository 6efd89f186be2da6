"""`python -m bench scale`: print what the model of the nation says, and write it into docs/scaling.md.

The page holds the tables between markers, so that it says what `bench/results.json` says; a test holds it to that.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.given import Cluster, Costs, Found, Machines, Nation, cluster_of, costs_of
from bench.results import FILE
from bench.scale import DOCUMENTS_ONLY, Plan, plan, worker_max_per_s
from exchange.backbone.topics import layout

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
TIMES = (1, 10, 100)
WORKERS_CHECKED = (1, 2, 4)

_BLOCK = re.compile(r"(<!-- (?P<name>\w+): python -m bench scale -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Print the tables and renew the page."""
    content = json.loads(FILE.read_text("utf-8"))
    for table in tables(content).values():
        print(f"{table}\n")
    PAGE.write_text(filled(PAGE.read_text("utf-8"), content), encoding="utf-8")


def filled(page: str, content: Mapping[str, Any]) -> str:
    """The page with its tables as the content of bench/results.json gives them."""
    made = tables(content)
    return _BLOCK.sub(lambda block: f"{block[1]}{made[block['name']]}\n{block[3]}", page)


def tables(content: Mapping[str, Any]) -> dict[str, str]:
    """The tables by the names that their markers bear."""
    found: Found = {one["name"]: one for one in content["results"]}
    costs, cluster = costs_of(found), cluster_of(layout(embedded=False))
    plans = [plan(times, Nation(), costs, cluster, Machines()) for times in TIMES]
    return {
        "nation": _nation(plans),
        "costs": _costs(costs),
        "check": _check(found, costs, content["machine"]["cores"]),
    }


def _nation(plans: Sequence[Plan]) -> str:
    rows: list[tuple[str, Callable[[Plan], str]]] = [
        ("documents a month", lambda p: f"{Nation().documents_per_month * p.times:,.0f}"),
        ("statements/s: all hours · office hours · busiest minute", lambda p: " · ".join(
            map(short, (p.load.average_per_s, p.load.office_per_s, p.load.peak_per_s)))),
        ("**workers**, and what for", lambda p: f"**{p.workers}** ({p.workers_for})"),
        ("memory of each, for so many claims",
         lambda p: f"{short(p.worker_memory_gb)} GB, {_millions(p.worker_claims)}"),
        ("statements a transaction, busiest minute", lambda p: short(p.batch.statements)),
        ("what one worker could do, statements/s", lambda p: short(p.worker_max_per_s)),
        ("restoring a worker's store, at most", lambda p: f"{short(p.restore_s)} s"),
        ("**brokers**, and what for", lambda p: f"**{p.brokers}** ({p.brokers_for})"),
        ("disk of each after 5 years", lambda p: f"{short(p.broker_disk_tb)} TB"),
        ("network of each, busiest minute", lambda p: f"{short(p.broker_network_mb_per_s)} MB/s"),
        ("trace store after 5 years", lambda p: f"{short(p.database_tb)} TB"),
        ("… its disk is full after", lambda p: f"{short(p.database_months_max)} months"),
        ("ledger, attachments after 5 years", lambda p: f"{short(p.ledger_tb)} TB, {short(p.attachments_tb)} TB"),
        ("**runs out first** (used ÷ there is)", lambda p: _use(p, 0)),
        ("next", lambda p: _use(p, 1)),
        ("… ", lambda p: _use(p, 2)),
        ("… ", lambda p: _use(p, 3)),
    ]  # fmt: skip
    head = ["", *(f"{p.times:g}×" for p in plans)]
    return _table(head, [[name, *(told(p) for p in plans)] for name, told in rows])


def _use(found: Plan, number: int) -> str:
    use = found.uses[number]
    return f"{use.what}: {short(use.used)} ÷ {short(use.most)}"


def _costs(costs: Costs) -> str:
    def each(sizes: Mapping[str, float]) -> str:
        return ", ".join(f"{shelf} {size:,.0f}" for shelf, size in sorted(sizes.items()) if size >= 0.5)

    rows = [
        ("CPU of a worker, document · status", f"{costs.document_worker_us:.0f} · {costs.status_worker_us:.0f} µs"),
        ("of which the signature", f"{costs.verify_us:.0f} µs"),
        ("CPU of the broker, document · status", f"{costs.document_broker_us:.0f} · {costs.status_broker_us:.0f} µs"),
        ("… and a transaction + each partition it writes to",
         f"{costs.transaction_broker_us:,.0f} + {costs.partition_broker_us:,.0f} µs"),
        ("time of a transaction + each partition it writes to",
         f"{costs.transaction_ms:.1f} + {costs.partition_ms:.2f} ms"),
        ("bytes of a document, one replica", each(costs.document_bytes)),
        ("bytes of a status", each(costs.status_bytes)),
        ("bytes more for each transaction and source partition", each(costs.delta_bytes)),
        ("a claim in memory · a worker without any", f"{costs.claim_bytes:.0f} B · {costs.worker_empty_mb:.0f} MB"),
        ("a worker that idles, of each broker", f"{costs.idle_broker_cores:.2f} cores"),
        ("restoring a claim + its changelog record",
         f"{costs.restore_claim_us:.1f} + {costs.restore_record_us:.1f} µs"),
        ("trace store: document · status",
         f"{costs.document_traces_per_s:,.0f} · {costs.status_traces_per_s:,.0f}/s, "
         f"{costs.document_trace_bytes:,.0f} · {costs.status_trace_bytes:,.0f} B"),
        ("Faust, a delta", f"{costs.delta_throughput_us:.0f} µs"),
        ("ledger, an event", f"{costs.event_ledger_us:.0f} µs, {costs.event_ledger_bytes:.0f} B"),
        ("audit, a submission", f"{costs.submission_audit_us:.0f} µs"),
    ]  # fmt: skip
    return _table(["measured", "each"], rows)


def _check(found: Found, costs: Costs, cores: int) -> str:
    """The model of the embedded cluster against what one, two and four workers did."""
    rows = [
        [
            str(workers), f"{costs.document_worker_us:.0f} / {run['worker_us']:.0f}",
            _off(costs.document_worker_us, run["worker_us"]), f"{said:,.0f} / {run['per_second']:,.0f}",
            _off(said, run["per_second"]), f"{run['cores_busy']['others']:.2f}",
        ]
        for workers, run, said in _compared(found, costs, cores)
    ]  # fmt: skip
    head = ["workers", "CPU µs a document, model / measured", "off", "documents/s, model / measured", "off",
            "cores taken by others"]  # fmt: skip
    return _table(head, rows)


def _compared(found: Found, costs: Costs, cores: int) -> Iterator[tuple[int, Mapping[str, Any], float]]:
    """Each run, and the documents a second that the model gives the cores that others left it."""
    embedded: Cluster = cluster_of(layout(embedded=True, brokers=1))
    for workers in WORKERS_CHECKED:
        for run in found[f"scaling.{workers}_workers"]["runs"]:
            busy = run["cores_busy"]
            left = max(cores - busy["others"] - busy["bench"], 0.0)
            by_cores = 1e6 * left / (costs.document_worker_us + costs.document_broker_us)
            by_workers = workers * worker_max_per_s(workers, DOCUMENTS_ONLY, costs, embedded, 0.0)
            yield workers, run, min(by_cores, by_workers)


def _off(said: float, measured: float) -> str:
    return f"{100 * (said / measured - 1):+.0f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short(value: float) -> str:
    """Two digits that count, for a model knows no more."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def _millions(count: float) -> str:
    return f"{short(count / 1e6)} million"
