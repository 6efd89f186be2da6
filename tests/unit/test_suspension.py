"""A suspended sender: what it says is refused and kept, and the auditor derives the same from the directory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from unittest.mock import patch

import pytest

from exchange.agencies import Agency, Directory, Suspension
from exchange.errors import Rejected
from exchange.operating.deciding import checked_two
from exchange.pipeline.routing import Router, day_of
from exchange.statements import identify, schema
from exchange.statements.directory import directory_statement, entries_of
from tests.unit.audit_spoiling import events_of, notice_of
from tests.unit.audited_signed import Founded, SignedWorld, found
from tests.unit.audited_world import START_MS, directory, document, status

SILENCED = Suspension("H02", 1, True, "mất khóa", "Nông Thị An", "Trần Bình")
RESUMED = Suspension("H02", 2, False, "đã thay khóa", "Trần Bình", "Nông Thị An")


@pytest.fixture(scope="module")
def founded() -> Founded:
    return found()


def outcomes(world: SignedWorld) -> dict[str, list[tuple[str, str]]]:
    """Outcome and code of each event, by the statement's id, in their order."""
    told: dict[str, list[tuple[str, str]]] = {}
    for _, event in events_of(world):
        told.setdefault(event["id"], []).append((event["outcome"], event["code"]))
    return told


def silenced(founded: Founded) -> SignedWorld:
    """A sender is suspended between two batches, and resumed after the third; another one speaks throughout."""
    world = SignedWorld(founded)
    earlier = document("G01", "earlier", "H02")
    world.send("document", earlier)
    world.send("document", document("H02", "before", "H01"))
    world.hop()
    world.say([SILENCED], 10)
    world.send("document", document("H02", "said", "H01"))
    world.send("document", document("H02", "before", "H01"))
    world.send("status", status("H02", "receipt", earlier, 1))
    world.send("document", document("G01", "another", "H02"))
    world.hop()
    world.say([RESUMED], 20)
    world.send("document", document("H02", "said", "H01"))
    world.send("status", status("H02", "receipt", earlier, 1))
    world.hop()
    return world


class TestTheDirectory:
    def test_the_decision_is_signed_and_read_like_any_entry(self) -> None:
        raw = directory_statement("1", "G00.REGISTRY", 1, [SILENCED, RESUMED])
        assert entries_of(identify(raw).decode(raw)) == [SILENCED, RESUMED]
        assert SILENCED.key == "suspension:H02"

    def test_what_was_written_before_there_was_such_an_entry_can_still_be_read(self) -> None:
        raw = schema("directory", 3).encode({"id": "1", "sender": "G00", "signed_ms": 1, "entries": []})
        assert identify(raw).decode(raw)["entries"] == []

    def test_it_counts_from_its_offset_until_the_one_that_ends_it(self) -> None:
        made = Directory()
        made.apply(0, [SILENCED])
        made.apply(1, [RESUMED])
        made.apply(2, [SILENCED])  # an old one said again
        assert [made.at(offset).suspension("H02") for offset in range(4)] == [None, SILENCED, None, None]
        assert [made.at(offset).suspensions() for offset in range(4)] == [[], [SILENCED], [], []]
        assert made.latest().last_suspension("H02") == RESUMED
        assert made.stale_entries == 1


class TestTheHop:
    def test_only_the_agency_itself_is_silent(self) -> None:
        made = directory()
        made.apply(5, [Suspension("H01", 1, True, "x", "a", "b")])
        router, on = Router(made.latest(), 3), day_of(START_MS)
        with pytest.raises(Rejected) as refused:
            router.sender("H01", on)
        assert refused.value.code == "sender.suspended"
        assert router.sender("H01.01", on).code == "H01.01"
        assert router.copy_to("H01", on).is_deliverable

    def test_everything_it_says_is_refused_and_the_same_bytes_accepted_afterwards(self, founded: Founded) -> None:
        world = silenced(founded)
        told = outcomes(world)
        refused, accepted = ("rejected", "sender.suspended"), ("accepted", "")
        assert told["said"] == [refused, accepted]
        assert told["receipt"] == [refused, accepted]
        assert told["another"] == [accepted]

    def test_what_was_said_before_stands(self, founded: Founded) -> None:
        assert outcomes(silenced(founded))["before"] == [("accepted", ""), ("duplicate", "")]

    def test_the_bytes_are_kept_and_the_agency_is_told(self, founded: Founded) -> None:
        world = silenced(founded)
        log, place = world.find("dead-letters", lambda fields: fields["code"] == "sender.suspended")
        letter = schema("dead_letter").decode(log[place].value)
        assert letter["sender"] == "H02"
        log, place = world.find("inbox", notice_of(world, "said"))
        assert schema("delivery").decode(log[place].value)["recipients"] == ["H02"]


class TestTheAuditor:
    @pytest.mark.parametrize("signatures", [True, False])
    def test_it_derives_the_same(self, founded: Founded, signatures: bool) -> None:
        assert silenced(founded).audited(signatures=signatures).findings == []

    def test_a_hop_that_is_deaf(self, founded: Founded) -> None:
        def deaf(self: Router, code: str, on: date) -> Agency:
            agency = self.view.agency(code)
            assert agency is not None
            return agency

        with patch.object(Router, "_speaker", deaf):
            world = silenced(founded)
        codes = {(one.code, one.id) for one in world.audited().findings}
        assert {("audit.other_verdict", "said"), ("audit.other_verdict", "receipt")} <= codes

    def test_a_hop_that_silences_of_its_own_accord(self, founded: Founded) -> None:
        speaker: Callable[[Router, str, date], Agency] = Router._speaker

        def arbitrary(self: Router, code: str, on: date) -> Agency:
            if code == "G01":
                raise Rejected("sender.suspended", code)
            return speaker(self, code, on)

        with patch.object(Router, "_speaker", arbitrary):
            world = silenced(founded)
        codes = {(one.code, one.id) for one in world.audited().findings}
        assert ("audit.other_verdict", "another") in codes


class TestTwo:
    @pytest.mark.parametrize(
        ("by", "seconded_by", "code"),
        [
            ("An", "an ", "decision.same_person"),
            ("", "Bình", "decision.text"),
            ("An", "B\nC", "decision.text"),
            ("An", "B" * 81, "decision.text"),
        ],
    )
    def test_they_are_two(self, by: str, seconded_by: str, code: str) -> None:
        with pytest.raises(Rejected) as refused:
            checked_two(by, seconded_by)
        assert refused.value.code == code
        assert checked_two(" An", "Bình") == ("An", "Bình")
