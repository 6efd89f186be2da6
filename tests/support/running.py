"""A whole exchange for tests: real services, the directory of 2022, a cast with keys, workers of the hop.

What became of a submission is read from the topics: its event, its dead letter, its deliveries and notices.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message

from exchange.agencies.entries import Agency, Entry
from exchange.agencies.levels import Level
from exchange.agencies.view import DirectoryView
from exchange.backbone.clients import producer
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_hop
from exchange.backbone.reading import read_to_end
from exchange.cli.running import options_of
from exchange.cli.services import prepare
from exchange.cli.world import World
from exchange.local.crew import Crew, stop_crew
from exchange.local.founding import listed, now_ms, publish
from exchange.local.home import Home
from exchange.local.progress import silent
from exchange.local.services import down, up
from exchange.local.simulation.cast import Cast, Member, choose, gather
from exchange.local.simulation.hostile import Bad, Material
from exchange.local.simulation.outlaws import outlaw_keys
from exchange.pipeline.routing import INBOX_TOPICS, day_of
from exchange.signatures import sign_record
from exchange.statements import KINDS, Fields, identify, schema
from exchange.statements.compose import document, encode, status

Place = tuple[str, int, int]
"""(topic, partition, offset) of a submission."""

SETTLE_S = 60.0


class Delivered(NamedTuple):
    """One inbox record: who is named, the kind of what it holds, and the record itself."""

    recipients: list[str]
    kind: str
    fields: Fields
    record: bytes
    inbox_ms: int


@dataclass(slots=True)
class Fate:
    """What became of one submission."""

    events: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]
    deliveries: list[Delivered]
    notices: list[Delivered]

    @property
    def event(self) -> dict[str, Any]:
        """The one event that every submission has."""
        assert len(self.events) == 1, self.events
        return self.events[0]

    @property
    def recipients(self) -> list[str]:
        """Everyone whom a delivery names."""
        return sorted(code for delivery in self.deliveries for code in delivery.recipients)


class Exchange:
    """The exchange under test."""

    def __init__(self, world: World, seed: int = 7) -> None:
        self.world = world
        view = world.directory_log.directory.latest()
        self.cast: Cast = gather(world.authority, world.base, view, choose(view, seed, now_ms()))
        self.outlaw = self.member(Level.PROVINCE)
        self.keys = outlaw_keys(world.authority, world.base, self.outlaw.agency)
        world.directory_log.catch_up()
        self._producer = producer(world.base, linger_ms=0)
        self._starts: dict[tuple[str, int], int | None] = {}
        for topic in ("trace", "dead-letters"):
            self._starts |= {(topic, p): None for p in range(world.layout.keyed)}
        for topic in INBOX_TOPICS.values():
            self._starts |= {(topic, p): None for p in range(world.layout.inbox)}
        self._fates: dict[Place, Fate] = defaultdict(lambda: Fate([], [], [], []))

    @property
    def view(self) -> DirectoryView:
        """The directory as it is now."""
        return self.world.directory_log.directory.latest()

    def member(self, level: Level, number: int = 0) -> Member:
        """A unit of the cast."""
        return self.cast.by_level[level][number]

    def newcomer(self) -> Member:
        """A unit of one test's own, with a seal."""
        version = now_ms()
        code = f"H26.T{uuid.uuid4().hex[:12].upper()}"
        agency = Agency(
            code, version, f"Đơn vị {code}", Level.PROVINCE, "department", "H26", (), date(2020, 1, 1), None, ()
        )
        issued = self.world.authority.issue(code, agency.name)
        self.enter([agency, *listed([issued])])
        return Member(agency, issued.signing_key)

    def material(self) -> Material:
        """What the makers of bad input work with."""
        return Material(
            self.cast, self.outlaw, self.member(Level.DISTRICT), self.member(Level.DISTRICT, 1), now_ms(),
            random.Random(uuid.uuid4().int), self.keys, self.world.layout.keyed,
        )  # fmt: skip

    def enter(self, entries: Sequence[Entry]) -> None:
        """Let the registrar say something, and wait until we have read it."""
        publish(self.world.base, self.world.authority, list(entries))
        self.world.directory_log.catch_up()

    def submit_all(self, records: Iterable[Bad]) -> list[Place]:
        """Submit records as they are; returns where each lies."""
        wanted = list(records)
        places: dict[int, Place] = {}
        for number, one in enumerate(wanted):

            def arrived(failure: KafkaError | None, message: Message, number: int = number) -> None:
                assert failure is None, failure
                places[number] = (message.topic() or "", message.partition() or 0, message.offset() or 0)

            where = {} if one.partition is None else {"partition": one.partition}
            self._producer.produce(one.topic, one.value, one.key, on_delivery=arrived, **where)  # type: ignore[arg-type]
            self._producer.poll(0)
        assert self._producer.flush(30) == 0
        return [places[number] for number in range(len(wanted))]

    def submit(self, kind: str, fields: Fields, member: Member, **record: Any) -> Place:  # noqa: ANN401
        """Sign fields as the member and submit them properly."""
        return self.submit_all([self.prepare(kind, fields, member, **record)])[0]

    def prepare(self, kind: str, fields: Fields, member: Member, **record: Any) -> Bad:  # noqa: ANN401
        """A properly signed and addressed record."""
        value = sign_record(encode(kind, fields), record.get("keys", [member.key]), record.get("storage", []))
        one = KINDS[kind]
        return Bad("", one.topic(fields), one.key(fields).encode(), value, told=False)

    def document(self, sender: Member, to: Sequence[str], **changes: Any) -> Fields:  # noqa: ANN401
        """The fields of a new document."""
        now = now_ms()
        made = document(
            sender.agency.code, str(uuid.uuid4()), list(to), "Văn bản thử nghiệm", signed_ms=now, issued=day_of(now)
        )
        return made | changes

    def status(self, recipient: Member, about: Fields, code: int, **changes: Any) -> Fields:  # noqa: ANN401
        """The fields of a status about a document."""
        made = status(
            recipient.agency.code, str(uuid.uuid4()), about, code, signed_ms=now_ms(),
            document_append_ms=now_ms(), thread=KINDS["document"].key(about),
        )  # fmt: skip
        return made | changes

    def settle(self) -> None:
        """Wait until the hop has dealt with everything, and read what it wrote."""
        await_hop(self.world.base, GROUP, self.world.layout.keyed, SETTLE_S)
        for portion in read_to_end(self.world.base, self._starts):
            for read in portion:
                self._starts[read.topic, read.partition] = read.offset + 1
                if read.topic == "trace":
                    trace = schema("trace").decode(read.value)
                    for event in trace["events"]:
                        self._fates[trace["topic"], trace["partition"], event["offset"]].events.append(event)
                elif read.topic == "dead-letters":
                    letter = schema("dead_letter").decode(read.value)
                    self._fates[letter["topic"], letter["partition"], letter["offset"]].dead_letters.append(letter)
                else:
                    self._file(schema("delivery").decode(read.value), read.append_ms)

    def fate(self, place: Place) -> Fate:
        """What became of a submission; call `settle` before."""
        return self._fates[place]

    def all_fates(self) -> list[Fate]:
        """What became of everything so far."""
        return list(self._fates.values())

    def fates(self, places: Iterable[Place]) -> list[Fate]:
        """`settle`, then what became of each."""
        self.settle()
        return [self.fate(place) for place in places]

    def _file(self, delivery: Fields, inbox_ms: int) -> None:
        raw = schema("record").decode(delivery["record"])["statement"]
        found = identify(raw)
        one = Delivered(delivery["recipients"], found.name, found.decode(raw), delivery["record"], inbox_ms)
        fate = self._fates[delivery["topic"], delivery["partition"], delivery["offset"]]
        (fate.notices if found.name == "notice" else fate.deliveries).append(one)


@contextmanager
def running_exchange(object_store: str | None = None) -> Iterator[Exchange]:
    """A new exchange with one worker of the hop, gone in the end. `object_store`: a bucket; None: its home."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-world-"))
    world = World(Home(folder / "home"), object_store=object_store)
    try:
        up(world.home)
        prepare(world, silent, change=True)
        Crew(world.home, options_of(world), workers=1).start()
        yield Exchange(world)
    finally:
        stop_crew(world.home)
        down(world.home)
        shutil.rmtree(folder)
