"""The reckoning after a run: whatever is wrong, in sentences; nothing, if all of it holds.

Checked, each against something that it wasn't made from: the audit of the topics and what was sent, outcome by
outcome; the trace store and its rebuild from the topics, row for row; the throughput's sums and gaps, and each closed
window (a short run has none) with the deltas counted again, which the audit has held against the submissions; the
ledger's size; that each submission was promised once. The views get some time to catch up by themselves, for that they
do is a part of the claim.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exchange.auditor import Balance, audit
from exchange.backbone.clients import Config
from exchange.local.progress import Report
from exchange.signatures import PublicKey
from exchange.views.throughput import ThroughputStore, rebuilding
from exchange.views.trace_rebuild import rebuild
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import summary

VIEWS_WITHIN_S = 180.0
FINDINGS_SHOWN = 5
_LOOK_S = 0.5

_COUNTED = """
SELECT outcome, code, sum(documents)::bigint FROM throughput WHERE size = 1 AND recipient_level = 0 GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look. `ledger_size`: leaves in the signed tree; `promised`: promises given, and about how many
    submissions."""

    base: Config
    database_url: str
    registrar: PublicKey
    ledger_size: Callable[[], int]
    promised: Callable[[], tuple[int, int]]

    def events(self) -> int:
        """How many submissions the trace store knows of. Raises: Unavailable."""
        with TraceStore(self.database_url).connect() as connection:
            row = connection.execute("SELECT count(*) FROM events").fetchone()
        return row[0] if row else 0

    def traced(self) -> Counter[str]:
        """What the trace store says became of the submissions, by code or outcome. Raises: Unavailable."""
        counts = summary(TraceStore(self.database_url))
        found = Counter({what: n for what, n in counts.outcomes.items() if what != "rejected"})
        return found + Counter(counts.rejections)

    def counted(self) -> Counter[str]:
        """What the throughput says. Raises: Unavailable."""
        with ThroughputStore(self.database_url).snapshot() as connection:
            rows = connection.execute(_COUNTED).fetchall()
        found = Counter[str]()
        for outcome, code, documents in rows:
            found[code or outcome] += documents
        return found


def late_views(places: Places, total: int, report: Report) -> list[str]:
    """Wait until the views' own processes have seen all submissions; name those that haven't in time."""
    looks = {
        "trace-store": places.events,
        "throughput": lambda: places.counted().total(),
        "ledger": places.ledger_size,
        "promises": lambda: places.promised()[1],
    }
    return [late for name, look in looks.items() if (late := _late(name, look, total, report))]


def _late(name: str, look: Callable[[], int], total: int, report: Report) -> str:
    deadline = time.monotonic() + VIEWS_WITHIN_S
    while (seen := look()) < total:
        report(f"Waiting for the view {name}", seen, total)
        if time.monotonic() > deadline:
            return f"the view {name} has {seen:,} of {total:,} submissions after {VIEWS_WITHIN_S:.0f} s"
        time.sleep(_LOOK_S)
    return ""


def reckon(places: Places, expected: Counter[str], report: Report) -> tuple[Balance, list[str]]:
    """Check everything, with the crew at rest. Raises: Unavailable, InvariantBroken."""
    report("Re-reading the topics for the audit")
    balance = audit(places.base, places.registrar)
    findings = list(_of_the_books(balance, expected))
    findings += _different("what the throughput counted", places.counted(), expected)
    with ThroughputStore(places.database_url).connect() as connection:
        gaps = connection.execute("SELECT topic, partition, first_offset, next_offset FROM gaps").fetchall()
    findings += [f"the throughput has a gap: {gap}" for gap in gaps]
    if (size := places.ledger_size()) != expected.total():
        findings.append(f"the ledger has {size:,} leaves, not {expected.total():,}")
    if (promised := places.promised()) != (expected.total(), expected.total()):
        findings.append(f"{promised[0]:,} promises about {promised[1]:,} submissions, not {expected.total():,}")
    findings += _different("what the trace store holds", places.traced(), expected)
    report("Rebuilding the trace store")
    rebuilt = rebuild(places.base, places.database_url)
    findings += [f"the trace store differs from its rebuild: {line}" for line in rebuilt.differences()]
    if rebuilt.before is None:
        findings.append("there was no trace store to compare with its rebuild")
    report("Counting the throughput again")
    recounted = rebuilding.rebuild(places.base, places.database_url)
    findings += [f"the throughput differs from its recount: {line}" for line in recounted.differences or ()]
    if recounted.differences is None:
        findings.append("there was no throughput to compare with its recount")
    return balance, findings


def _of_the_books(balance: Balance, expected: Counter[str]) -> Iterator[str]:
    if not balance.holds:
        yield "the books don't balance"
    yield from (f"the audit found {code}: {count:,}" for code, count in sorted(balance.finding_counts.items()))
    for found in balance.findings[:FINDINGS_SHOWN]:
        yield f"{found.code} {found.at.topic}/{found.at.partition}/{found.at.offset} {found.id}: {found.sentence}"
    records = balance.total.records
    if records.in_flight or records.set_aside:
        yield f"{records.in_flight:,} are in flight, {records.set_aside:,} set aside"
    if records.submitted != expected.total():
        yield f"{records.submitted:,} were submitted, but {expected.total():,} were sent"


def _different(what: str, found: Counter[str], expected: Counter[str]) -> Iterator[str]:
    differing = [name for name in sorted(found.keys() | expected.keys()) if found[name] != expected[name]]
    for name in differing[:FINDINGS_SHOWN]:
        yield f"{what}, {name}: {found[name]:,}, sent to become that: {expected[name]:,}"
    if len(differing) > FINDINGS_SHOWN:
        yield f"{what} differs in {len(differing) - FINDINGS_SHOWN} more"
