"""The same submissions, store and directory offset give the same records, byte for byte; so a replay can be audited."""

from __future__ import annotations

from exchange.agencies import BACKBONE_CODE
from exchange.backbone.reading import Read
from exchange.pipeline.decide import Decisions
from exchange.pipeline.outputs import Rules
from exchange.pipeline.routing import Router
from exchange.pipeline.store import PartitionStore
from exchange.statements import SUBMISSION_TOPICS, Fields, identify
from tests.unit.audited_world import INBOX_PARTITIONS, PARTITIONS, World, document, lively, record, status

INFORMATIVE = {"hop_ms": 0, "worker": ""}
"""What alone may differ: the clock and the name of whoever did it."""


def written(worker: str, hop_ms: int) -> list[tuple[str, int, bytes, bytes]]:
    """What a worker writes of one pending batch; the world is made anew each time."""
    world = World()
    first = document("G01", "d1", "H01", "H02")
    world.submit("document", first)
    world.submit("document", document("H01", "d2", "@all", "H01.08"))
    world.submit("document", document("H02", "unknown", "H77"))
    world.submit("document", first)
    world.submit("status", status("H01", "s1", first, 1))
    world.garbage(b"\x00\x01\x02")
    rules = Rules(PARTITIONS, INBOX_PARTITIONS, BACKBONE_CODE, record, worker)
    stores = {p: PartitionStore() for p in range(PARTITIONS)}
    positions = {(t, p): 0 for t in SUBMISSION_TOPICS for p in range(PARTITIONS)}
    decisions = Decisions(rules, Router(world.directory.latest(), INBOX_PARTITIONS), stores, positions)
    for submission, verdict in world._pending:
        decisions.decide(submission, verdict)
    return [(out.topic, out.partition, out.key, out.value) for out in decisions.records(hop_ms)]


def told(value: bytes) -> Fields:
    """The fields of a record without what is informative."""
    fields = identify(value).decode(value)
    return {name: INFORMATIVE.get(name, value) for name, value in fields.items()}


def test_a_batch_decided_again_gives_the_same_bytes() -> None:
    assert written("hop-1", 5) == written("hop-1", 5)


def test_another_worker_at_another_time_decides_the_same() -> None:
    """Ids of notices come from the submission's coordinates, their time from the broker: nothing from the worker."""
    one, other = written("hop-1", 5), written("hop-2", 77_000)
    assert {topic for topic, *_ in one} >= {"trace", "dead-letters", "inbox.central", "inbox.commune", "store"}
    assert [each[:3] for each in one] == [each[:3] for each in other]
    assert [told(each[3]) for each in one] == [told(each[3]) for each in other]
    assert {each[0] for each, same in zip(one, other, strict=True) if each != same} == {"trace"}


def test_every_output_names_its_source_and_the_directory_it_was_decided_by() -> None:
    world = lively()
    for (topic, _), log in world.topics.items():
        if topic.startswith("inbox.") or topic == "dead-letters":
            assert all(named(read, "topic", "partition", "offset", "append_ms", "directory_offset") for read in log)
        elif topic == "trace":
            assert all(named(read, "topic", "partition", "directory_offset") for read in log)
    offsets = {identify(read.value).decode(read.value)["directory_offset"] for read in every(world, "trace")}
    assert offsets == {2, 6}, "one batch was decided before and one after the directory moved on"


def named(read: Read, *fields: str) -> bool:
    """Whether a record has all these fields."""
    return set(fields) <= set(identify(read.value).decode(read.value))


def every(world: World, topic: str) -> list[Read]:
    """All records of a topic."""
    return [read for (name, _), log in world.topics.items() if name == topic for read in log]
