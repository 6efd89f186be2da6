"""The auditor on what was erased: it is passed over and counted, and only decisions of the directory may say so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.agencies import Erased, Erasure
from exchange.backbone.reading import Read
from exchange.statements import Fields, identify, schema
from exchange.statements.directory import directory_statement, entries_of
from tests.unit.audit_spoiling import found
from tests.unit.audited_world import World, document


def erasure(*reads: Read) -> Erasure:
    statements = tuple(Erased(bytes(32), read.topic, read.partition, read.offset, 0, 0) for read in reads)
    return Erasure("H02/gone", "H02", "gone", 0, 1, statements, "order 12", "An", "Bình")


def tell(world: World, partition: int, offset: int, statement_id: str = "gone") -> None:
    """Write the event of an erasure, as the archiver does."""
    event: Fields = {
        "offset": offset, "append_ms": 1, "outcome": "erased", "code": "document.erased", "kind": "", "sender": "H02",
        "sender_level": 0, "verified": False, "id": statement_id, "thread": f"H02/{statement_id}", "sha256": bytes(32),
        "certificate": None, "summary": None, "status": None, "deliveries": [], "accepted_offset": -1,
    }  # fmt: skip
    head = {
        "topic": "directory",
        "partition": partition,
        "directory_offset": offset + 1,
        "hop_ms": 1,
        "worker": "archive",
    }
    records = world.topics.setdefault(("trace", partition), [])
    value = schema("trace").encode({**head, "events": [event]})
    records.append(Read("trace", partition, len(records) + 100, 1, b"", value))


def world_with_an_erasure() -> tuple[World, Read, int]:
    """Three documents, the second sent twice; it was decided that it be erased."""
    world = World()
    world.submit("document", document("H01", "before", "H02"))
    gone = world.submit("document", document("H02", "gone", "H01"))
    again = world.submit("document", document("H02", "gone", "H01"))
    world.submit("document", document("G01", "after", "H02"))
    world.hop()
    world.directory.apply(7, [erasure(gone, again)])
    return world, gone, 7


def without(world: World, gone: Read) -> None:
    """The submission and its duplicate aren't read any more, nor what they led to in the inboxes."""
    for where, reads in world.topics.items():
        if where[0] == gone.topic or where[0].startswith("inbox."):
            world.topics[where] = [read for read in reads if b"gone" not in read.value]


@pytest.mark.parametrize("is_gone", [False, True])
def test_what_was_erased_is_in_no_book(is_gone: bool) -> None:
    world, gone, offset = world_with_an_erasure()
    tell(world, gone.partition, offset)
    if is_gone:
        without(world, gone)
    balance = world.balance()
    assert found(balance) == []
    assert balance.holds
    assert balance.erased == 2
    assert balance.total.records.submitted == balance.total.records.accepted == 2


def test_without_the_decision_it_is_missing() -> None:
    """The control: an auditor who knows of no decision names what isn't there."""
    world, gone, _ = world_with_an_erasure()
    without(world, gone)
    world.directory = World().directory
    assert ("audit.surplus_event", "gone") in found(world.balance())


def test_a_duplicate_of_what_was_erased_has_an_original() -> None:
    world = World()
    gone = world.submit("document", document("H02", "gone", "H01"))
    world.hop()
    world.directory.apply(7, [erasure(gone)])
    world.submit("document", document("H02", "gone", "H01"))
    world.hop()
    balance = world.balance()
    assert found(balance) == []
    assert balance.total.records.duplicates == 1


def test_nobody_but_the_directory_says_that_something_was_erased() -> None:
    world, gone, offset = world_with_an_erasure()
    tell(world, gone.partition, offset + 1)
    assert found(world.balance()) == [("audit.erasure_without_decision", "gone")]
    world, gone, offset = world_with_an_erasure()
    tell(world, gone.partition, offset, "another")
    assert found(world.balance()) == [("audit.erasure_without_decision", "another")]


def test_an_erasure_is_told_once() -> None:
    world, gone, offset = world_with_an_erasure()
    tell(world, gone.partition, offset)
    tell(world, gone.partition, offset)
    assert found(world.balance()) == [("audit.doubled_erasure", "gone")]


def test_a_decision_is_an_entry_of_the_directory() -> None:
    decision = erasure(Read("documents", 1, 2, 3, b"", b""), Read("statuses", 1, 4, 5, b"", b""))
    raw = directory_statement("s-1", "G00", 7, [decision])
    assert entries_of(identify(raw).decode(raw)) == [decision]


def test_a_later_decision_adds_to_an_earlier_one() -> None:
    world, gone, _ = world_with_an_erasure()
    later = replace(erasure(world.topics[gone.topic, gone.partition][-1]), part=1)
    world.directory.apply(9, [later])
    assert [offset for offset, _ in world.directory.latest().erasures()] == [7, 9]
    assert [offset for offset, _ in world.directory.latest().erasures(8)] == [9]
    assert [offset for offset, _ in world.directory.at(8).erasures()] == [7]
