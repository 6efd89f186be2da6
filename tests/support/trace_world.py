"""A trace topic and a trace store of a test's own, on the real services, and the lives of documents to fill them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from exchange.backbone.clients import Config, connection, producer
from exchange.errors import Rejected, Unavailable
from exchange.local.services import Services
from exchange.statements.chain import CHANGE_OPEN, TAKE_BACK_OPEN, UNDELIVERABLE, WAITING, advance, ask
from exchange.views.trace_path import Path
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_rows import Portion
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support import traces
from tests.support.traces import H26, accepted, follow_up

WITHIN_S = 60


@dataclass
class World:
    """A trace topic and a store of a test's own."""

    base: Config
    topic: str
    store: TraceStore

    def __post_init__(self) -> None:
        admin = AdminClient(self.base)
        settings = {"max.message.bytes": "8388608"}
        admin.create_topics([NewTopic(self.topic, 4, 1, config=settings)])[self.topic].result(20)
        self.producer = producer(self.base)

    def produce(self, partition: int, events: Sequence[traces.Event], topic: str = "documents") -> None:
        """Append the trace of one transaction."""
        produce(self.producer, self.topic, partition, traces.records(partition, events, topic))
        assert self.producer.flush(WITHIN_S) == 0

    def projection(self, probe: Callable[[str], None] = lambda _: None) -> TraceProjection:
        return TraceProjection(self.base, self.store, self.topic, probe)

    def count(self, table: str) -> int:
        with self.store.connect() as database:
            row = database.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608
        assert row is not None
        return int(row[0])


def produce(out: Producer, topic: str, partition: int, values: Sequence[bytes]) -> None:
    for value in values:
        out.produce(topic, value, partition=partition)


def world_of(services: Services) -> World:
    name = uuid.uuid4().hex[:12]
    return World(
        connection(services.bootstrap_servers),
        f"trace.{name}",
        TraceStore(services.database_url, f"trace_{name}"),
    )


@contextmanager
def running(projection: TraceProjection) -> Iterator[None]:
    """Let it follow in a thread; its error, if any, is raised at the end."""
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(projection.run, stop)
        try:
            yield
        finally:
            stop.set()
            run.result(WITHIN_S)


def the_path(store: TraceStore, statement_id: str, sender: str | None = None) -> Path:
    path = trace(store, statement_id, sender)
    assert path is not None
    return path


def portion_of(values: Sequence[bytes], first: int = 0, partition: int = 1) -> Portion:
    portion = Portion()
    for offset, value in enumerate(values, first):
        portion.add(partition, offset, value)
    return portion


def random_life(seed: int) -> tuple[list[bytes], dict[tuple[str, str], int]]:
    """The trace of some documents' lives, by the rules of the chain, and the state of each copy in the end."""
    dice = random.Random(seed)
    values: list[bytes] = []
    states: dict[tuple[str, str], int] = {}
    recipients = [f"000.00.{number:02}.G04" for number in range(4)]
    documents: list[traces.Event] = []
    for offset in range(120):
        if not documents or dice.random() < 0.1:
            new = accepted(offset, H26, f"d-{offset}", recipients)
            new["deliveries"][0]["partition"] = -1
            states |= {(new["id"], each): WAITING for each in recipients}
            states[new["id"], recipients[0]] = UNDELIVERABLE
            documents.append(new)
            values += traces.records(1, [new])
            continue
        document, chosen = dice.choice(documents), dice.sample(recipients, 2)
        business = dice.choice(["recall", "update", "status", "status", "status", "status"])
        if business != "status":
            opened = {}
            for each in chosen:
                try:
                    request = TAKE_BACK_OPEN if business == "recall" else CHANGE_OPEN
                    opened[document["id"], each] = ask(states[document["id"], each], request)
                except Rejected:
                    continue
            if opened:
                states |= opened
                again = follow_up(business, offset, f"d-{offset}", document, chosen)
                states |= {(again["id"], each): WAITING for each in chosen}
                values += traces.records(1, [again])
            continue
        key = (document["id"], chosen[0])
        try:
            states[key] = advance(states[key], code := dice.choice([1, 2, 3, 4, 5, 6, 13, 15, 16]))
        except Rejected:
            continue
        values += traces.records(1, [traces.status(offset, code, document, chosen[0], states[key])], "statuses")
    return values, states


def is_stored(world: World, events: int) -> bool:
    try:
        return world.count("events") >= events
    except Unavailable:
        return False
