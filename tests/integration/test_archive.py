"""The archiver on the real Kafka: whatever fails, the archive holds every record once; and nothing leaves a topic that
isn't archived, or that somebody still has to read."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka.admin import NewTopic

from exchange.agencies import Directory, Erased, Erasure
from exchange.agencies.levels import Level
from exchange.archive import archiver as archiving
from exchange.archive.archiver import Archiver, Pass
from exchange.archive.attachments import SealedAttachments
from exchange.archive.erasing import STEPS, Eraser, Places
from exchange.archive.keys import KeyStore
from exchange.archive.volumes import Volumes
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.folder import Folder
from exchange.backbone.objects import Objects, open_objects
from exchange.backbone.reading import Read, read_to_end
from exchange.errors import Misconfigured, Unavailable
from exchange.ledger import forgetting
from exchange.local.founding import now_ms
from exchange.pipeline.books import TRACE
from exchange.statements import SUBMISSION_TOPICS, schema
from exchange.statements.compose import attachment
from exchange.statements.status import ARRIVED
from tests.support.buckets import moto
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

LATER_MS = 400 * 86_400_000
_TOPICS_OF_THE_ARCHIVE = 10


class Failing(Folder):
    """Makes two new objects, and fails: with the third, or (`is_late`) with the second, though it is there."""

    def __init__(self, folder: Path, *, is_late: bool) -> None:
        super().__init__(folder)
        self._is_late = is_late
        self._new = 0

    def create(self, path: str, data: bytes) -> bool:
        self._refuse()
        made = super().create(path, data)
        self._count()
        return made

    def send(self, path: str, chunks: Iterable[bytes]) -> None:
        self._refuse()
        super().send(path, chunks)
        self._count()

    def _refuse(self) -> None:
        if self._new == 2:
            raise Unavailable("storage.unavailable", "no space left on device")

    def _count(self) -> None:
        self._new += 1
        if self._is_late and self._new == 2:
            raise Unavailable("storage.unavailable", "it is there, but nobody was told")


def archiver_in(exchange: Exchange, objects: Objects, keys: KeyStore, taken: dict[tuple[str, int], int]) -> Archiver:
    """An archiver of the shared world into a store of a test's own."""
    world = exchange.world
    attachments = SealedAttachments(objects, keys, world.attachments)
    return Archiver(
        world.base, world.layout, Volumes(objects, keys), attachments, taken=lambda: taken, erase=lambda: 0
    )  # fmt: skip


def in_topics(exchange: Exchange) -> dict[tuple[str, int], list[Read]]:
    """What the topics hold that are archived."""
    layout = exchange.world.layout
    starts: dict[tuple[str, int], int | None] = {
        (topic.name, p): None for topic in layout.topics if topic.leaves_after_ms for p in range(topic.partitions)
    }
    assert len({topic for topic, _ in starts}) == _TOPICS_OF_THE_ARCHIVE
    found: dict[tuple[str, int], list[Read]] = {where: [] for where in starts}
    for portion in read_to_end(exchange.world.base, starts):
        for read in portion:
            found[read.topic, read.partition].append(read)
    return found


def some_traffic(exchange: Exchange, folder: Path) -> dict[str, bool]:
    """Documents with attachments, one of them refused, and receipts; which attachment came with what was accepted."""
    came: dict[str, bool] = {}
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.COMMUNE)
    file = folder / "file"
    for number in range(3):
        file.write_bytes(os.urandom(10_000))
        stored = exchange.world.attachments.put(file)
        named = [attachment("file", "application/pdf", stored.size, stored.sha256)]
        fields = exchange.document(sender, [recipient.agency.code], attachments=named)
        receipts = [stored._asdict()] if number else []
        [fate] = exchange.fates([exchange.submit("document", fields, sender, storage=receipts)])
        assert fate.event["outcome"] == ("accepted" if number else "rejected")
        came[stored.sha256.hex()] = number > 0
        if number:
            exchange.fates([exchange.submit("status", exchange.status(recipient, fields, ARRIVED), recipient)])
    return came


def holds(exchange: Exchange, objects: Objects, keys: KeyStore) -> bool:
    """Whether the archive has every record of the topics, byte for byte and in order."""
    volumes = Volumes(objects, keys)
    return all(list(volumes.read(*where)) == reads for where, reads in in_topics(exchange).items())


def test_whatever_fails_the_archive_holds_every_record_once(exchange: Exchange, tmp_path: Path) -> None:
    came = some_traffic(exchange, tmp_path)
    keys = KeyStore(tmp_path / "keys", bytes(32))
    failures = 0
    for _ in range(100):  # each time a little further
        try:
            archiver_in(exchange, Failing(tmp_path / "archive", is_late=failures % 2 > 0), keys, {}).once(0)
            break
        except Unavailable:
            failures += 1
    archive = Folder(tmp_path / "archive")
    assert failures >= len(list(archive.walk("records"))) // 2 - 1 > 0
    assert holds(exchange, archive, keys)
    came |= some_traffic(exchange, tmp_path)
    archiver_in(exchange, archive, keys, {}).once(0)
    assert holds(exchange, archive, keys)
    kept = {name.rsplit("/", 1)[-1] for name in archive.walk("attachments")}
    assert {name: name in kept for name in came} == came, "of what was accepted only"


def test_a_pass_breaks_off_when_it_is_over_and_the_next_goes_on(exchange: Exchange, tmp_path: Path) -> None:
    some_traffic(exchange, tmp_path)
    keys, archive = KeyStore(tmp_path / "keys", bytes(32)), Folder(tmp_path / "archive")
    archiver = archiver_in(exchange, archive, keys, {})
    assert archiver.once(0, is_over=lambda: True) == Pass()
    assert not holds(exchange, archive, keys)
    archiver.once(0)
    assert holds(exchange, archive, keys)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server.url


def test_two_archivers_of_one_bucket_do_no_harm(exchange: Exchange, tmp_path: Path, bucket: str) -> None:
    some_traffic(exchange, tmp_path)
    keys = KeyStore(tmp_path / "keys", bytes(32))
    one, other = (archiver_in(exchange, open_objects(bucket), keys, {}) for _ in range(2))
    other._starts()  # it has looked where the archive ends, before the other one goes on
    one.once(0)
    other.once(0)
    assert holds(exchange, open_objects(bucket), keys)


def left_by(archiver: Archiver, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], int]:
    """Up to where records would leave, all topics' time being over."""
    left: dict[tuple[str, int], int] = {}
    monkeypatch.setattr(
        archiving, "leave", lambda _, topic, partition, offset: left.update({(topic, partition): offset})
    )
    archiver.once(now_ms() + LATER_MS, is_sweep=False)
    return left


def test_nothing_leaves_before_it_is_archived_and_read(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_traffic(exchange, tmp_path)
    keys, folder = KeyStore(tmp_path / "keys", bytes(32)), Folder(tmp_path / "archive")
    topics = in_topics(exchange)
    ends = {where: reads[-1].offset + 1 for where, reads in topics.items() if reads}
    guarded = {*SUBMISSION_TOPICS, TRACE}

    def stuck(*_: object) -> bool:
        raise Unavailable("storage.unavailable", "no space left on device")

    # The archive can't be written: nothing leaves.
    with monkeypatch.context() as patch:
        patch.setattr(Volumes, "append", stuck)
        with pytest.raises(Unavailable):
            left_by(archiver_in(exchange, folder, keys, ends), monkeypatch)
    # It can, but hop, ledger and trace store have read nothing: only what nobody waits for leaves.
    left = left_by(archiver_in(exchange, folder, keys, {}), monkeypatch)
    assert left == {where: end for where, end in ends.items() if where[0] not in guarded}
    # They have read up to one before the end.
    almost = {where: end - 1 for where, end in ends.items()}
    left = left_by(archiver_in(exchange, folder, keys, almost), monkeypatch)
    oldest = {where: topics[where][0].offset for where in ends}
    expected = {w: almost[w] if w[0] in guarded else ends[w] for w in ends}
    assert left == {where: end for where, end in expected.items() if end > oldest[where]}
    # Its time isn't over: nothing leaves.
    monkeypatch.setattr(archiving, "leave", pytest.fail)
    archiver_in(exchange, folder, keys, ends).once(now_ms(), is_sweep=False)


def test_an_order_in_which_records_would_miss_each_other_is_refused(exchange: Exchange, tmp_path: Path) -> None:
    keys, layout = KeyStore(tmp_path / "keys", bytes(32)), exchange.world.layout
    for name, value in (("trace", 1), ("inbox.commune", 1), ("documents", 10**15), ("statuses", 1)):
        topics = tuple(
            t if t.name != name else t.__class__(t.name, t.partitions, 1, t.config, value) for t in layout.topics
        )
        spoiled = layout.__class__(topics, layout.keyed, layout.inbox)
        objects = Folder(tmp_path / "archive")
        with pytest.raises(Misconfigured, match="leave"):
            Archiver(
                exchange.world.base, spoiled, Volumes(objects, keys),
                SealedAttachments(objects, keys, exchange.world.attachments), taken=dict, erase=lambda: 0,
            )  # fmt: skip


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


def killer(step: str) -> Callable[[str], None]:
    def probe(reached: str) -> None:
        if reached == step:
            raise Killed

    return probe


def test_an_erasure_is_carried_out_once_wherever_it_dies(exchange: Exchange, tmp_path: Path) -> None:
    world, name = exchange.world, uuid.uuid4().hex[:12]
    [made] = world.admin.create_topics([NewTopic(f"trace.{name}", world.layout.keyed, 1)]).values()
    made.result(20)
    archive, ledger = Folder(tmp_path / "archive"), Folder(tmp_path / "ledger")
    keys = KeyStore(tmp_path / "keys", bytes(32))
    attachments = SealedAttachments(archive, keys, world.attachments)
    places = Places(archive, keys, attachments, ledger, f"trace.{name}", f"archive.{name}")
    own = Directory()  # so that the shared world isn't told
    log = cast(DirectoryLog, SimpleNamespace(directory=own, catch_up=bool))
    starts: dict[tuple[str, int], int | None] = {(places.trace, p): None for p in range(world.layout.keyed)}
    for number, step in enumerate(STEPS):
        digest = sha256(f"{name}/{step}".encode()).digest()
        keys.ensure([digest])
        one = Erased(digest, "documents", 1, 10**9 + number, 10**9 + number, 0)
        decision = Erasure(f"H26/{name}", "H26", name, number, now_ms(), (one,), "order 12", "An", "Bình")
        own.apply(3 * number, [decision])
        dying = Eraser(world.base, log, places, killer(step))
        with pytest.raises(Killed):
            dying.carry_out(now_ms)
        dying.close()
        after = Eraser(world.base, log, places)
        after.carry_out(now_ms)
        assert after.carry_out(now_ms) == 0
        after.close()
        assert keys.find([digest]) == {digest: None}
        told = [read for portion in read_to_end(world.base, starts) for read in portion]
        events = [event for read in told for event in schema("trace").decode(read.value)["events"]]
        assert [event["sha256"] for event in events].count(digest) == 1
        assert len(events) == number + 1
    asked = [event for _, events_ in forgetting.asked(ledger) for event in events_]
    assert {event.offset for event in asked} == {10**9 + number for number in range(len(STEPS))}
