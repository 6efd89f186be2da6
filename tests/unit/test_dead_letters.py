"""Dead letters: counted, picked, foreseen by the hop's own decision, and sent again by order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from unittest.mock import patch

import pytest

from exchange.agencies import Erased, Erasure, Suspension
from exchange.backbone.actions import PLACES_MAX, Action, Actions, decode, encode
from exchange.backbone.durable import Place
from exchange.backbone.reading import Read
from exchange.backbone.submitting import Outgoing
from exchange.errors import Rejected
from exchange.operating import dead_letters, foreseeing, redriving
from exchange.operating.dead_letters import Letter, Selection, heaps, letter_of, picked
from exchange.operating.foreseeing import Foreseen, Present, foresee, sendable
from exchange.operating.redriving import ALONE_MAX, Order, redrive
from exchange.pipeline.store import PartitionStore
from exchange.statements import Fields, schema
from tests.unit.audited_signed import Founded, SignedWorld, found
from tests.unit.audited_world import INBOX_PARTITIONS, PARTITIONS, START_MS, document, status

LATER_MS = START_MS + 60_000_000


def letter(number: int, code: str = "sender.suspended", sender: str | None = "H02", value: bytes = b"x") -> Letter:
    at = ("dead-letters", 1, number)
    return Letter(at, ("documents", 1, number), START_MS + number, 5, code, "", sender, b"k", value)


@pytest.fixture(scope="module")
def founded() -> Founded:
    return found()


@pytest.fixture
def world(founded: Founded) -> SignedWorld:
    return SignedWorld(founded)


@pytest.fixture
def stores() -> Iterator[dict[int, PartitionStore]]:
    """What the forecast takes for the duplicate stores, in place of their changelog."""
    made = {partition: PartitionStore() for partition in range(PARTITIONS)}
    with patch.object(foreseeing, "_store", lambda _, partition: made[partition]):
        yield made


def present(world: SignedWorld) -> Present:
    authority = world.founded.authority
    roots, keys = [authority.root_certificate], [authority.storage_key]
    return Present({}, PARTITIONS, INBOX_PARTITIONS, world.directory.latest(), roots, keys)


def refused(world: SignedWorld, *statements: Fields) -> list[Letter]:
    """The dead letters of a sender that is suspended while it says this."""
    world.say([Suspension("H02", 1, True, "x", "a", "b")], 10)
    for fields in statements:
        world.send("status" if "code" in fields else "document", fields)
    world.hop()
    world.say([Suspension("H02", 2, False, "x", "a", "b")], 20)
    reads = [read for (topic, _), log in sorted(world.topics.items()) if topic == "dead-letters" for read in log]
    return sorted(map(letter_of, reads), key=lambda one: (one.append_ms, one.source))


class TestCounting:
    def test_by_code_and_proven_sender(self) -> None:
        found = heaps([letter(1), letter(2), letter(3, "avro.not_avro", None, b"long"), letter(4, sender="H01")])
        assert [(h.code, h.sender, h.letters, h.bytes) for h in found] == [
            ("sender.suspended", "H02", 2, 2), ("avro.not_avro", None, 1, 4), ("sender.suspended", "H01", 1, 1),
        ]  # fmt: skip
        assert (found[0].first_ms, found[0].last_ms, found[0].last) == (START_MS + 1, START_MS + 2, ("documents", 1, 2))

    def test_selections_hold_together(self) -> None:
        all_ = [letter(number) for number in range(5)]
        chosen = Selection(code="sender.suspended", since_ms=START_MS + 1, until_ms=START_MS + 4)
        assert [one.source[2] for one in all_ if chosen.holds(one)] == [1, 2, 3]
        assert [one for one in all_ if replace(chosen, sender="H01").holds(one)] == []
        assert [one for one in all_ if replace(chosen, places=frozenset([("documents", 1, 2)])).holds(one)] == [all_[2]]

    def test_what_is_picked_is_bounded(self) -> None:
        with patch.object(dead_letters, "PICKED_MAX", 3):
            assert len(picked(letter(number) for number in range(3))) == 3
            with pytest.raises(Rejected, match=r"dead_letters\.too_many"):
                picked(letter(number) for number in range(4))
        with patch.object(dead_letters, "PICKED_BYTES_MAX", 3), pytest.raises(Rejected):
            picked([letter(1, value=b"1234")])


class TestForeseeing:
    def test_what_is_mended_would_be_accepted(self, world: SignedWorld, stores: object) -> None:
        [one] = refused(world, document("H02", "d", "H01"))
        assert one.code == "sender.suspended"
        [foreseen] = foresee(present(world), [one], lambda: LATER_MS)
        assert (foreseen.outcome, foreseen.code) == ("accepted", "")

    def test_what_is_not_mended_would_be_refused_again(self, world: SignedWorld, stores: object) -> None:
        letters = refused(world, document("H02", "d", "H77"), document("H02", "e", "H01"))
        world.say([Suspension("H02", 3, True, "x", "a", "b")], 30)
        foreseen = foresee(present(world), letters, lambda: LATER_MS)
        assert [one.code for one in foreseen] == ["sender.suspended"] * 2
        world.say([Suspension("H02", 4, False, "x", "a", "b")], 40)
        foreseen = foresee(present(world), letters, lambda: LATER_MS)
        assert [(one.outcome, one.code) for one in foreseen] == [("rejected", "recipient.unknown"), ("accepted", "")]
        assert sendable(foreseen) == [letters[1]]

    def test_the_gate_is_asked_as_of_now(self, world: SignedWorld, stores: object) -> None:
        letters = refused(world, document("H02", "d", "H01"))
        [foreseen] = foresee(present(world), letters, lambda: START_MS + 50 * 86_400_000)
        assert foreseen.code in {"statement.too_old", "storage.receipt_expired"}

    def test_the_second_of_two_would_be_a_duplicate(self, world: SignedWorld, stores: object) -> None:
        letters = refused(world, document("H02", "d", "H01"), document("H02", "d", "H01"))
        foreseen = foresee(present(world), letters, lambda: LATER_MS)
        assert [one.outcome for one in foreseen] == ["accepted", "duplicate"]

    def test_what_was_accepted_meanwhile_is_a_duplicate(
        self, world: SignedWorld, stores: dict[int, PartitionStore]
    ) -> None:
        letters = refused(world, document("H02", "d", "H01"))
        world.send("document", document("H02", "d", "H01"))
        world.hop()
        stores.update(world._stores)
        [foreseen] = foresee(present(world), letters, lambda: LATER_MS)
        assert (foreseen.outcome, sendable([foreseen])) == ("duplicate", [])

    def test_a_status_is_foreseen_after_its_document(self, world: SignedWorld, stores: object) -> None:
        about = document("H02", "d", "H01")
        recall = status("H01", "s", about, 13, said_by="H02")
        letters = refused(world, about, recall)
        foreseen = foresee(present(world), letters[::-1], lambda: LATER_MS)
        assert [(one.letter.said.kind, one.outcome) for one in foreseen if one.letter.said] == [
            ("status", "accepted"), ("document", "accepted"),
        ]  # fmt: skip

    def test_what_was_erased_is_not_sent(self, world: SignedWorld, stores: object) -> None:
        letters = refused(world, document("H02", "d", "H01"), document("H02", "e", "H01"))
        statement = Erased(bytes(32), *letters[0].source, 0, 0)
        world.say([Erasure("H02/d", "H02", "d", 0, 1, (statement,), "x", "An", "Bình")], 30)
        foreseen = foresee(present(world), letters, lambda: LATER_MS)
        assert [one.outcome for one in foreseen] == ["erased", "accepted"]
        assert sendable(foreseen) == [letters[1]]

    def test_noise_stays_where_it_is(self, world: SignedWorld, stores: object) -> None:
        [foreseen] = foresee(present(world), [letter(1, value=b"\x00noise")])
        assert (foreseen.outcome, foreseen.code) == ("rejected", "record.not_a_submission")

    def test_what_still_trips_a_bug_is_not_sent(self, world: SignedWorld, stores: object) -> None:
        letters = refused(world, document("H02", "d", "H01"))

        def stumble(*_: object, **__: object) -> object:
            raise ZeroDivisionError

        with patch.object(foreseeing, "admit", stumble):
            [foreseen] = foresee(present(world), letters, lambda: LATER_MS)
        assert (foreseen.outcome, sendable([foreseen])) == ("bug", [])


class Recorded(Actions):
    """Actions that go nowhere."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def record(self, action: Action) -> None:
        self.actions.append(action)


class Sent:
    """A producer that goes nowhere. `known`: what was recorded before the first."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.records: list[bytes] = []

    def __call__(self, *_: object, **__: object) -> Sent:
        return self

    def submit(self, outgoing: Iterator[Outgoing]) -> None:
        assert self.recorded.actions, "sent before it was recorded"
        self.records += [one.record for one in outgoing]


class TestSending:
    def send(self, foreseen: list[Foreseen], order: Order) -> tuple[Recorded, Sent, list[float]]:
        recorded, pauses = Recorded(), list[float]()
        sent = Sent(recorded)
        with patch.object(redriving, "Submitting", sent):
            redrive({}, recorded, foreseen, order, pause=pauses.append)
        return recorded, sent, pauses

    @pytest.fixture
    def letters(self, world: SignedWorld) -> list[Letter]:
        return refused(world, *(document("H02", f"d{number}", "H01") for number in range(3)))

    def test_only_what_would_be_accepted_and_only_once_recorded(self, letters: list[Letter]) -> None:
        foreseen = [Foreseen(letters[0], "accepted"), Foreseen(letters[1], "rejected"), Foreseen(letters[2], "bug")]
        recorded, sent, _ = self.send(foreseen, Order("mended", "An"))
        assert sent.records == [letters[0].value]
        [action] = recorded.actions
        assert (action.what, action.by, action.reason) == ("dead_letters.redrive", "An", "mended")
        assert action.places == [letters[0].source]

    def test_paced(self, letters: list[Letter]) -> None:
        _, sent, pauses = self.send([Foreseen(one, "accepted") for one in letters], Order("x", "An", rate_per_s=4))
        assert len(sent.records) == 3
        assert pauses == [pytest.approx(0, abs=0.1), pytest.approx(0.25, abs=0.1), pytest.approx(0.5, abs=0.1)]

    @pytest.mark.parametrize(
        ("order", "code"),
        [
            (Order("", "An"), "decision.text"),
            (Order("x", "An", "an"), "decision.same_person"),
            (Order("x", "An", "Bình", 0), "dead_letters.rate"),
            (Order("x", "An", "Bình", 1e9), "dead_letters.rate"),
        ],
    )
    def test_an_order_that_is_none(self, letters: list[Letter], order: Order, code: str) -> None:
        with pytest.raises(Rejected) as refusal:
            self.send([Foreseen(letters[0], "accepted")], order)
        assert refusal.value.code == code

    def test_more_than_a_hundred_need_two(self, letters: list[Letter]) -> None:
        many = [Foreseen(letters[0], "accepted")] * (ALONE_MAX + 1)
        with pytest.raises(Rejected, match=r"dead_letters\.two_needed"):
            self.send(many, Order("x", "An"))
        assert len(self.send(many[1:], Order("x", "An"))[1].records) == ALONE_MAX
        recorded, sent, _ = self.send(many, Order("x", "An", "Bình"))
        assert len(sent.records) == ALONE_MAX + 1
        assert recorded.actions[0].seconded_by == "Bình"

    def test_nothing_to_send(self, letters: list[Letter]) -> None:
        with pytest.raises(Rejected, match=r"dead_letters\.none"):
            self.send([Foreseen(letters[0], "rejected")], Order("x", "An"))


class TestActions:
    def test_round_trip(self) -> None:
        places: list[Place] = [("documents", 1, 7), ("documents", 1, 9), ("statuses", 0, 3)]
        action = Action("x.y", "An", "vì thế", "Bình", {"letters": 3}, places)
        assert decode(encode(action, places)) == action

    def test_many_places_are_several_records_of_one_action(self) -> None:
        class Kept:
            def __init__(self) -> None:
                self.values: list[tuple[bytes, bytes]] = []

            def append(self, key: bytes, value: bytes) -> None:
                self.values.append((key, value))

        kept = Kept()
        actions = Actions.__new__(Actions)
        actions._durable = kept  # type: ignore[assignment]
        action = Action("x", "An", places=[("documents", 0, n) for n in range(PLACES_MAX + 1)])
        actions.record(action)
        assert [key for key, _ in kept.values] == [action.id] * 2
        assert [len(decode(value).places) for _, value in kept.values] == [PLACES_MAX, 1]


def test_a_letter_is_read_as_the_hop_wrote_it(world: SignedWorld) -> None:
    [one] = refused(world, document("H02", "d", "H01"))
    value = schema("dead_letter").encode(
        {"topic": "documents", "partition": 0, "offset": 3, "append_ms": 1, "directory_offset": 2, "code": "c",
         "detail": "d", "sender": None, "key": None, "value": one.value}
    )  # fmt: skip
    read = letter_of(Read("dead-letters", 0, 9, 5, None, value))
    assert read == Letter(("dead-letters", 0, 9), ("documents", 0, 3), 1, 2, "c", "d", None, None, one.value)
    assert read.said is not None
    assert read.said.digest == sha256(schema("record").decode(one.value)["statement"]).digest()
