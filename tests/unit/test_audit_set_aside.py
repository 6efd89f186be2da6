"""The auditor on submissions that were set aside: each needs the registrar's decision, and each decision counts."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from exchange.agencies import SettingAside
from exchange.backbone.reading import Read
from exchange.statements import Fields
from tests.unit.audit_spoiling import change_event, change_puts, found, of
from tests.unit.audited_world import World, document


def decision_about(read: Read, version: int = 1, value: bytes | None = None) -> SettingAside:
    digest = sha256(read.value if value is None else value).digest()
    claims = ("document", "H02", "poison", "H02/poison")
    return SettingAside(read.topic, read.partition, read.offset, version, digest, *claims, "a bug", "An")


def set_aside() -> tuple[World, Read]:
    """A world in which one of three documents was set aside."""
    world = World()
    world.submit("document", document("H02", "before", "H01"))
    poison = world.submit("document", document("H02", "poison", "H01"))
    world.submit("document", document("G01", "after", "H02"))
    world.directory.apply(5, [decision_about(poison)])
    world.hop()
    return world, poison


def test_a_decision_makes_the_books_balance() -> None:
    world, _ = set_aside()
    balance = world.balance()
    assert found(balance) == []
    assert balance.holds
    records = balance.total.records
    assert (records.submitted, records.accepted, records.set_aside) == (3, 2, 1)
    assert balance.by_kind["document"].records.set_aside == 1
    assert balance.dead_letters == 1
    assert balance.total.copies.recipients == 2


def test_another_digest_is_not_set_aside() -> None:
    world = World()
    poison = world.submit("document", document("H02", "poison", "H01"))
    world.directory.apply(5, [decision_about(poison, value=b"other bytes")])
    world.hop()
    balance = world.balance()
    assert balance.holds
    assert (balance.total.records.accepted, balance.total.records.set_aside) == (1, 0)


def test_a_decision_about_what_was_decided_before_changes_nothing() -> None:
    world = World()
    poison = world.submit("document", document("H02", "poison", "H01"))
    world.hop()
    world.directory.apply(5, [decision_about(poison)])
    world.submit("document", document("H02", "after", "H01"))
    world.hop()
    balance = world.balance()
    assert balance.holds
    assert (balance.total.records.accepted, balance.total.records.set_aside) == (2, 0)


def test_a_later_decision_does_not_undo_what_an_earlier_one_did() -> None:
    world, poison = set_aside()
    world.directory.apply(9, [decision_about(poison, version=2, value=b"other")])
    assert world.balance().holds


@pytest.mark.parametrize("offset", [2, 5])
def test_set_aside_before_anybody_decided_so(offset: int) -> None:
    """The directory as of the event has no such decision yet."""
    world, _ = set_aside()
    world.alter("trace", of(world, "poison"), lambda fields: {**fields, "directory_offset": offset})
    assert ("audit.set_aside_without_decision", "poison") in found(world.balance())


def test_set_aside_though_the_decision_is_about_other_bytes() -> None:
    world, poison = set_aside()
    log = world.topics[poison.topic, poison.partition]
    log[log.index(poison)] = poison._replace(value=poison.value + b"?")
    assert ("audit.set_aside_without_decision", "poison") in found(world.balance())


def test_set_aside_by_a_hop_of_its_own_accord() -> None:
    world, _ = set_aside()

    def own_accord(event: Fields) -> None:
        event.update(outcome="set_aside", code="record.set_aside", verified=False, deliveries=[], summary=None)

    change_event(world, "after", own_accord)
    assert ("audit.set_aside_without_decision", "after") in found(world.balance())


def test_decided_about_though_it_was_set_aside() -> None:
    """A hop that doesn't follow the directory: what it pinned has the decision, and it went on regardless."""
    world = World()
    poison = world.submit("document", document("H02", "poison", "H01"))
    world.hop()
    world.directory.apply(5, [decision_about(poison)])
    for topic in ("trace", "inbox"):
        world.alter(topic, of(world, "poison"), lambda fields: {**fields, "directory_offset": 6})
    assert found(world.balance()) == [("audit.decision_ignored", "poison")]


@pytest.mark.parametrize(
    ("name", "value"),
    [("code", "record.other"), ("sender", "H01"), ("id", "p"), ("thread", "x"), ("kind", "status"), ("verified", True),
     ("sha256", bytes(32)), ("accepted_offset", 0), ("sender_level", 2)],
)  # fmt: skip
def test_an_event_that_says_other_than_the_decision(name: str, value: object) -> None:
    world, _ = set_aside()
    change_event(world, "poison", lambda event: event.update({name: value}))
    assert "audit.altered_event" in {code for code, _ in found(world.balance())}


def test_a_lost_dead_letter() -> None:
    world, _ = set_aside()
    world.delete("dead-letters", of(world, "poison"))
    assert found(world.balance()) == [("audit.missing_dead_letter", "poison")]


def test_a_dead_letter_with_other_bytes() -> None:
    world, _ = set_aside()
    world.alter("dead-letters", of(world, "poison"), lambda fields: {**fields, "value": b"other"})
    assert found(world.balance()) == [("audit.altered_dead_letter", "poison")]


def test_a_dead_letter_that_names_a_sender() -> None:
    world, _ = set_aside()
    world.alter("dead-letters", of(world, "poison"), lambda fields: {**fields, "sender": "H02"})
    assert found(world.balance()) == [("audit.altered_dead_letter", "poison")]


def test_a_claim_of_what_was_set_aside() -> None:
    world, poison = set_aside()

    def claim(puts: list[Fields], place: int) -> None:
        value = puts[place]["value"]
        puts.append({"key": bytes(16), "value": value[:32] + poison.offset.to_bytes(8, "little") + value[40:]})

    change_puts(world, "before", claim)
    assert found(world.balance()) == [("audit.surplus_claim", "poison")]


def test_the_decision_names_it_by_place_alone_if_it_could_not_be_read() -> None:
    world = World()
    poison = world.garbage(b"\x00\x01")
    unread = replace(decision_about(poison), kind="", sender="", id="", thread="")
    world.directory.apply(5, [unread])
    world.hop()
    balance = world.balance()
    assert balance.holds
    assert balance.by_kind[""].records.set_aside == 1
