"""The observer: looks at the whole exchange from outside, and gives Prometheus what is true whoever is dead.

Guarantees: it changes nothing and joins no group. What it can't see keeps its last figure, and
`exchange_observer_last_look_timestamp_seconds` says how old that is; Kafka or PostgreSQL away doesn't end it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event, Thread
from typing import NamedTuple

import structlog
import typer
from confluent_kafka import Consumer

from exchange import metrics
from exchange.backbone.clients import reader
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import Behind, CommitAges, behind
from exchange.cli import attesting
from exchange.cli import world as worlds
from exchange.cli.closing import PATIENCE_MS, open_hours_of
from exchange.cli.ledger import key_of
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.errors import Unavailable
from exchange.local.audits import last
from exchange.local.disk import disk_free_bytes
from exchange.local.endpoint import endpoint
from exchange.local.founding import now_ms
from exchange.local.home import Home
from exchange.pipeline.routing import day_of
from exchange.views.hours_due import OpenHours
from exchange.views.silence import last_sent_ms, oldest_unacknowledged_ms, provinces
from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.stated import gaps
from exchange.views.trace_store import TraceStore

LOOK_S, RARE_S = 10.0, 60.0
"""Periods; `RARE_S` of what costs a query for each province."""

_POLL_S = 0.5

log = structlog.get_logger(__name__)


class Look(NamedTuple):
    """One thing to look at, so often; the first time after `first_s`."""

    part: str
    work: Callable[[], None]
    every_s: float = LOOK_S
    first_s: float = 0.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("observe", hidden=True)(observe)


def observe(context: typer.Context) -> None:
    """Whoever looks at the whole exchange."""
    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        with endpoint(world.home, "observer", metrics.OBSERVER):
            watch(looks(world), stop)

    run_to_its_end(work)


def watch(all_looks: list[Look], stop: Event) -> None:
    """`run`, and end at once when told: a look that waits for a broker holds nothing. Raises: what ended it."""
    failures = list[Exception]()

    def look() -> None:
        try:
            run(all_looks, stop)
        except Exception as exc:  # noqa: BLE001  raised below
            failures.append(exc)
            stop.set()

    Thread(target=look, name="looks", daemon=True).start()
    stop.wait()
    if failures:
        raise failures[0]


def run(all_looks: list[Look], stop: Event) -> None:
    """Look at each when its time has come, until `stop`. Raises: whatever is not `Unavailable`."""
    began = time.monotonic()
    due = {look.part: began + look.first_s for look in all_looks}
    blind = set[str]()
    while not stop.wait(_POLL_S):
        for look in all_looks:
            if time.monotonic() < due[look.part]:
                continue
            due[look.part] = time.monotonic() + look.every_s
            try:
                look.work()
            except Unavailable as exc:
                if look.part not in blind:
                    log.warning("observer.blind", part=look.part, code=exc.code, detail=exc.detail)
                blind.add(look.part)
            else:
                metrics.LOOKED.labels(look.part).set_to_current_time()
                blind.discard(look.part)


def looks(world: World) -> list[Look]:
    """All that is looked at in a world."""
    hop = _Hop(world)
    return [
        Look("hop", hop.look),
        Look("throughput", partial(_throughput, world, hop)),
        Look("ledger", partial(_ledger, world)),
        Look("books", partial(books, world.home)),
        Look("disks", partial(_disks, world.home)),
        Look("inboxes", partial(_inboxes, world), RARE_S),
        Look("hours", partial(_hours, open_hours_of(world)), RARE_S, RARE_S),
        Look("provinces", _Provinces(world).look, RARE_S, RARE_S),
    ]


def _hours(open_hours: OpenHours) -> None:
    metrics.HOURS_OVERDUE.set(len(open_hours.at(now_ms() - PATIENCE_MS)))


class _Hop:
    """The hop's lag; `found`: as it was seen last."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asking: Consumer | None = None
        self._ages = CommitAges()
        self.found: Mapping[tuple[str, int], Behind] = {}

    def look(self) -> None:
        if self._asking is None:
            self._asking = reader(self._world.base, group_id=GROUP)
        try:
            self.found = behind(self._asking, self._world.layout.keyed)
        except Unavailable:
            self._asking.close()
            self._asking = None
            raise
        ages = self._ages.look(self.found, time.monotonic())
        for (topic, partition), one in self.found.items():
            metrics.LAG.labels(topic, str(partition)).set(one.waiting)
            metrics.COMMIT_AGE.labels(topic, str(partition)).set(ages[topic, partition])


def _throughput(world: World, hop: _Hop) -> None:
    """How far the windows are behind what the hop had committed a moment before, and what they leave out for ever."""
    store = ThroughputStore(world.database_url)
    positions, left_out = store.positions(), dict[tuple[str, int], int]()
    for source, gap in gaps(store):
        left_out[source] = left_out.get(source, 0) + gap.next - gap.first
    for (topic, partition), one in hop.found.items():
        uncounted = max(one.next_offset - positions.get((topic, partition), 0), 0)
        metrics.UNCOUNTED.labels(topic, str(partition)).set(uncounted)
        metrics.GAPS.labels(topic, str(partition)).set(left_out.get((topic, partition), 0))


def _ledger(world: World) -> None:
    if not attesting.has_keys(world):
        return
    ages = attesting.ages_of(world, key_of(world).verifier)
    metrics.UNWITNESSED_AGE.set(math.inf if ages.unwitnessed_s is None else ages.unwitnessed_s)
    metrics.UNSTAMPED_AGE.set(math.inf if ages.unstamped_s is None else ages.unstamped_s)


class _Provinces:
    """When each province was heard last; one that was merged away isn't missed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shown = set[str]()

    def look(self) -> None:
        self._world.directory_log.poll()
        codes = provinces(self._world.directory_log.directory.latest(), day_of(now_ms()))
        for code, at_ms in last_sent_ms(TraceStore(self._world.database_url), codes).items():
            metrics.PROVINCE_SENT.labels(code).set(at_ms / 1000)
        for code in self._shown.difference(codes):
            metrics.PROVINCE_SENT.remove(code)
        self._shown = set(codes)


def _inboxes(world: World) -> None:
    metrics.UNACKNOWLEDGED.set(oldest_unacknowledged_ms(TraceStore(world.database_url)) / 1000)


def _disks(home: Home) -> None:
    for folder in (home.kafka, home.postgres, home.attachments, home.folder / "ledger", home.folder / "archive"):
        if folder.is_dir():
            metrics.DISK_FREE.labels(folder.name).set(disk_free_bytes(folder))


def books(home: Home) -> None:
    """Show what the last audits came to."""
    for deep, label in ((False, "no"), (True, "yes")):
        found = last(home, deep=deep)
        if found is None:
            continue
        metrics.BOOKS_HOLD.labels(label).set(found.holds)
        metrics.BOOKS_AUDITED.labels(label).set(found.began_s)
        for code, count in found.findings.items():
            metrics.BOOKS_FINDINGS.labels(label, code).set(count)
