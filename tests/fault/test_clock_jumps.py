"""Clocks that jump an hour back and an hour forward under load: the broker's, then a worker's.

What should happen when the broker's jumps: docs/decisions/0009. In short: the time that stands at a record is the time
by which it is judged, by the gate, the recipients and the auditor alike; nobody corrects it.

How the broker's clock is moved: the submission topics take the producers' time (``CreateTime``), and all producers of
this process give theirs plus the jump. To whoever reads the topics that is exactly a broker whose clock jumped. Moving
the clock of the Java process itself (libfaketime, preloaded) was tried: the broker didn't come up under it; and it is
to be had for one kind of processor only. A worker's clock is a patched ``time.time``.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from exchange.agencies.levels import Level
from exchange.backbone import submitting
from exchange.backbone.clients import producer
from exchange.backbone.reading import read_to_end
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.cli.world import World
from exchange.local.founding import now_ms
from exchange.pipeline.routing import day_of
from exchange.signatures import sign_record
from exchange.signatures.gate import FUTURE_MS_MAX
from exchange.statements import SUBMISSION_TOPICS, schema
from exchange.statements.compose import document, encode
from exchange.views.throughput.names import Cell, named
from exchange.views.throughput.packing import delta_of
from exchange.views.throughput.windows import State, fold
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_rebuild import rebuild
from exchange.views.trace_store import TraceStore
from tests.fault.conftest import a_world
from tests.support.load import PORTION, RATE, Loaded
from tests.support.workers import Worker, await_owners, crew, supervised

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

HOUR_MS = 3_600_000
RECORDS = 4 * PORTION


class BrokerClock:
    """The broker's clock, as all records show it that are sent from here. `ahead_ms`: of the right one."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def producer(self, base: dict[str, Any], **settings: Any) -> Any:  # noqa: ANN401
        """A producer for `Submitting` whose records bear the time of this clock."""
        return _Timed(producer(base, **settings), self)


class _Timed:
    def __init__(self, within: Producer, clock: BrokerClock) -> None:
        self._within, self._clock = within, clock

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._within, name)

    def produce(self, *what: Any, **how: Any) -> None:  # noqa: ANN401
        timed = {**how, "timestamp": now_ms() + self._clock.ahead_ms}
        self._within.produce(*what, **timed)


def take_the_producers_time(world: World) -> None:
    """Let the submission topics bear the time that a record comes with."""
    settings = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(3 * HOUR_MS)}
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in settings.items()]
    resources = [ConfigResource(ResourceType.TOPIC, t, incremental_configs=entries) for t in SUBMISSION_TOPICS]
    for done in world.admin.incremental_alter_configs(resources).values():
        done.result(30)


@pytest.fixture
def jumpy() -> Iterator[tuple[Loaded, BrokerClock]]:
    """A world of its own, and its broker's clock."""
    clock = BrokerClock()
    with a_world() as world, patch.object(submitting, "producer", clock.producer):
        take_the_producers_time(world)
        yield Loaded(world), clock


class Sender:
    """One who submits documents besides the load and keeps them, to say the same again."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._out = Submitting(loaded.world.base)

    def document(self, signed_ms: int) -> Outgoing:
        """A new one, signed by the sender's clock."""
        sender, recipient = self._loaded.nation.cast.by_level[Level.PROVINCE][1:3]
        fields = document(
            sender.agency.code, str(uuid.uuid4()), [recipient.agency.code], "Văn bản",
            signed_ms=signed_ms, issued=day_of(signed_ms),
        )  # fmt: skip
        return Outgoing("document", fields, sign_record(encode("document", fields), [sender.key], []))

    def submit(self, *documents: Outgoing, outcome: str) -> list[Taken]:
        """Submit; `outcome`: what must become of each."""
        taken: list[Taken] = []
        self._out.submit(documents, taken.append)
        self._loaded.expected[outcome] += len(documents)
        return taken


def test_the_brokers_clock_jumps_an_hour_back_and_an_hour_forward(jumpy: tuple[Loaded, BrokerClock]) -> None:
    loaded, clock = jumpy
    world, sender = loaded.world, Sender(loaded)
    with supervised(world, Worker(world, "hop-1"), Worker(world, "hop-2")):
        with loaded.load():
            loaded.await_progress(200)
        first = sender.document(now_ms())
        [right] = sender.submit(first, outcome="accepted")

        clock.ahead_ms = -HOUR_MS
        early = [sender.document(now_ms()) for _ in range(RECORDS)]  # not the nation's: its recalls would miss them
        [back, *_] = sender.submit(*early, outcome="statement.in_future")
        assert HOUR_MS - FUTURE_MS_MAX < right.append_ms - back.append_ms < HOUR_MS
        behind = sender.document(now_ms() - HOUR_MS)
        sender.submit(behind, outcome="accepted")

        clock.ahead_ms = HOUR_MS
        sender.submit(*early, outcome="accepted")
        sender.submit(first, behind, *early, outcome="duplicate")
        loaded.expected += loaded.nation.send(RECORDS, RATE, bad_share=0.0).expected

        clock.ahead_ms = 0
        sender.submit(first, behind, *early, outcome="duplicate")
        with loaded.load():
            loaded.await_progress(200)
        balance = loaded.balanced()
    steps = steps_back_ms(world)
    assert len(steps) >= 2 * world.layout.keyed, "the time went back twice in every partition of the documents"
    assert min(steps) > HOUR_MS - FUTURE_MS_MAX
    assert counted(world) == balance.total.records.submitted
    assert_trace_store_is_complete(world, balance.total.records.submitted)


def steps_back_ms(world: World) -> list[int]:
    """By how much the time of the documents went back, wherever it did by more than a signer's may be wrong."""
    steps, latest = list[int](), Counter[int]()
    for portion in read_to_end(world.base, {("documents", p): None for p in range(world.layout.keyed)}):
        for read in portion:
            if latest[read.partition] - read.append_ms > FUTURE_MS_MAX:
                steps.append(latest[read.partition] - read.append_ms)
            latest[read.partition] = read.append_ms
    return steps


def counted(world: World) -> int:
    """The submissions that the windows of the throughput count, whatever minute they fall into."""
    states, sums = dict[tuple[str, int], State](), Counter[str]()
    for portion in read_to_end(world.base, {("throughput.deltas", p): None for p in range(world.layout.keyed)}):
        for read in portion:
            delta = delta_of(read.value, read.append_ms)
            source = (delta["topic"], delta["partition"])
            step = fold(states.get(source), delta)
            assert step.gaps == []
            states[source] = step.state
            for key, cells in step.closed.items():
                sums[key.partition("/")[0]] += total(cells)
    for state in states.values():
        for key, cells in state["windows"].items():
            sums[key.partition("/")[0]] += total(cells)
    assert len(set(sums.values())) == 1, sums
    return sums["minute"]


def total(cells: dict[str, list[int]]) -> int:
    """Submissions in a window: cells of recipients' level 0, where each counts once."""
    counted = ((named(name), sums[0]) for name, sums in cells.items())
    return sum(documents for one, documents in counted if isinstance(one, Cell) and one.recipient_level == 0)


def assert_trace_store_is_complete(world: World, submitted: int) -> None:
    """The trace store has every event, and a rebuild gives the same."""
    store = TraceStore(world.database_url)
    TraceProjection(world.base, store).catch_up()
    rebuilt = rebuild(world.base, store.database_url)
    assert rebuilt.differences() == []
    assert rebuilt.after["events"].rows == submitted


def test_a_workers_clock_jumps_an_hour_back_and_an_hour_forward(loaded: Loaded, tmp_path: Path) -> None:
    """It decides nothing by its own clock; that only stands in the trace, as what the worker thought."""
    world, clock = loaded.world, tmp_path / "clock"
    clock.write_text("0", encoding="utf-8")
    with crew(world, Worker(world, "hop-1", "--clock", str(clock))):
        await_owners(world, "hop-1")
        with loaded.load():
            for ahead_s in (0, -3600, 3600, 0):
                clock.write_text(str(ahead_s), encoding="utf-8")
                loaded.await_progress(150)
        loaded.balanced()
    thought = [ms for ms in hop_times(world) if ms]
    assert min(thought) < time.time() * 1000 - HOUR_MS / 2
    assert max(thought) > time.time() * 1000 + HOUR_MS / 2


def hop_times(world: World) -> list[int]:
    """What the workers' clocks said, by the trace."""
    return [
        schema("trace").decode(read.value)["hop_ms"]
        for portion in read_to_end(world.base, {("trace", p): None for p in range(world.layout.keyed)})
        for read in portion
    ]
