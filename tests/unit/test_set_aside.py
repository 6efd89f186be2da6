"""A submission that an operator set aside: the gate isn't asked, nothing comes of it, and it is kept as it came."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from unittest.mock import patch

import pytest

from exchange.agencies import BACKBONE_CODE, Directory, SettingAside
from exchange.backbone import verifying
from exchange.backbone.verifying import SPLIT_FROM, Verifying
from exchange.errors import InvariantBroken, Rejected
from exchange.pipeline.decide import Decisions
from exchange.pipeline.outputs import Rules
from exchange.pipeline.routing import Router
from exchange.pipeline.store import PartitionStore
from exchange.pipeline.submission import Submission
from exchange.signatures import enter
from exchange.statements import SUBMISSION_TOPICS, Fields, identify, schema
from exchange.statements.directory import directory_statement, entries_of

POISON = b"poison"
AT = ("documents", 1, 7)


def decision(value: bytes = POISON, at: tuple[str, int, int] = AT, version: int = 1) -> SettingAside:
    claims = ("document", "H26", "d-1", "H26/d-1")
    return SettingAside(*at, version, sha256(value).digest(), *claims, "lỗi chia cho 0", "Nông Thị An")


def directory(*entries: SettingAside) -> Directory:
    made = Directory()
    for offset, entry in enumerate(entries):
        made.apply(offset, [entry])
    return made


def submission(value: bytes = POISON, offset: int = 7) -> Submission:
    return Submission("documents", 1, offset, 1_700_000_000_000, b"H26/d-1", value)


class TestTheDirectory:
    def test_the_decision_is_signed_and_read_like_any_entry(self) -> None:
        raw = directory_statement("1", "G00.REGISTRY", 1, [decision()])
        assert entries_of(identify(raw).decode(raw)) == [decision()]
        assert decision().key == "set-aside:documents/1/7"

    def test_what_was_written_before_there_was_such_an_entry_can_still_be_read(self) -> None:
        raw = schema("directory", 1).encode({"id": "1", "sender": "G00", "signed_ms": 1, "entries": []})
        assert identify(raw).decode(raw)["entries"] == []

    def test_a_view_knows_the_decisions_below_its_offset(self) -> None:
        made = directory(decision(), decision(b"other", version=2))
        assert [made.at(offset).setting_aside(*AT) for offset in range(3)] == [
            None,
            decision(),
            decision(b"other", version=2),
        ]
        assert made.latest().setting_aside("documents", 1, 8) is None
        assert made.latest().sets_anything_aside
        assert not Directory().latest().sets_anything_aside

    def test_an_old_decision_said_again_changes_nothing(self) -> None:
        made = directory(decision(version=2), decision(b"other", version=1))
        assert made.latest().setting_aside(*AT) == decision(version=2)
        assert made.stale_entries == 1


class TestTheGate:
    @pytest.fixture
    def buggy(self) -> Iterator[Verifying]:
        """A gate that stumbles over the poison."""

        def stumble(value: bytes, *rest: object) -> object:
            if value == POISON:
                raise ZeroDivisionError
            return enter(value, *rest)  # type: ignore[arg-type]

        made = Verifying([], [])
        with patch.object(verifying, "enter", stumble):
            yield made
        made.close()

    def test_it_is_not_asked_about_what_was_set_aside(self, buggy: Verifying) -> None:
        buggy.renew(directory(decision()).latest())
        [aside, after] = buggy.verdicts([submission(), submission(b"harmless", 8)])
        assert aside == decision()
        assert isinstance(after, Rejected)

    def test_a_bug_names_the_record(self, buggy: Verifying) -> None:
        buggy.renew(Directory().latest())
        with pytest.raises(InvariantBroken, match="documents/1/7") as broken:
            buggy.verdicts([submission()])
        assert broken.value.record == "documents/1/7"

    @pytest.mark.parametrize("number", [1, 3 * SPLIT_FROM])
    def test_a_bug_in_verifying_signatures_names_the_record_in_either_thread(self, number: int) -> None:
        class Stumbling:
            is_verified = False

            def verify(self) -> None:
                raise ZeroDivisionError

        made = Verifying([], [])
        made.renew(Directory().latest())
        submissions = [submission(offset=offset) for offset in range(number)]
        with (
            patch.object(verifying, "Entered", Stumbling),
            patch.object(verifying, "enter", lambda *_: Stumbling()),
            pytest.raises(InvariantBroken) as broken,
        ):
            made.verdicts(submissions)
        made.close()
        assert broken.value.record in {"documents/1/0", "documents/1/1"}

    @pytest.mark.parametrize(
        "other",
        [decision(b"other bytes"), decision(at=("documents", 1, 8)), decision(at=("documents", 0, 7)),
         decision(at=("statuses", 1, 7))],
    )  # fmt: skip
    def test_only_these_bytes_at_these_coordinates_are_set_aside(self, buggy: Verifying, other: SettingAside) -> None:
        buggy.renew(directory(other).latest())
        with pytest.raises(InvariantBroken):
            buggy.verdicts([submission()])

    def test_the_decision_counts_from_the_view_that_has_it(self, buggy: Verifying) -> None:
        made = directory(decision())
        buggy.renew(made.at(0))
        with pytest.raises(InvariantBroken):
            buggy.verdicts([submission()])
        buggy.renew(made.at(1))
        assert buggy.verdicts([submission()]) == [decision()]


class TestTheDecision:
    @pytest.fixture
    def written(self) -> dict[str, list[Fields]]:
        """What the hop writes of a batch of one record that was set aside, by topic."""
        rules = Rules(2, 3, BACKBONE_CODE, lambda statement: statement, "w-1")
        store = PartitionStore()
        positions = {(topic, 1): 0 for topic in SUBMISSION_TOPICS} | {("documents", 1): 7}
        decisions = Decisions(rules, Router(directory(decision()).latest(), 3), {1: store}, positions)
        decisions.set_aside(submission(), decision())
        found: dict[str, list[Fields]] = {}
        for out in decisions.records(5):
            found.setdefault(out.topic, []).append(identify(out.value).decode(out.value))
        assert decisions.outputs.next_offsets() == {("documents", 1): 8}
        return found

    def test_nothing_is_delivered_and_nobody_told(self, written: dict[str, list[Fields]]) -> None:
        assert set(written) == {"trace", "dead-letters", "throughput.deltas", "store"}

    def test_one_event_says_what_the_operator_said(self, written: dict[str, list[Fields]]) -> None:
        [record] = written["trace"]
        [event] = record["events"]
        assert record["directory_offset"] == 1
        assert (event["offset"], event["outcome"], event["code"]) == (7, "set_aside", "record.set_aside")
        claims = ("kind", "sender", "id", "thread")
        assert [event[name] for name in claims] == ["document", "H26", "d-1", "H26/d-1"]
        assert (event["verified"], event["sha256"], event["deliveries"]) == (False, None, [])

    def test_the_original_bytes_are_kept(self, written: dict[str, list[Fields]]) -> None:
        [letter] = written["dead-letters"]
        assert (letter["topic"], letter["partition"], letter["offset"]) == AT
        assert (letter["key"], letter["value"], letter["sender"]) == (b"H26/d-1", POISON, None)
        assert (letter["code"], letter["detail"]) == ("record.set_aside", "Nông Thị An: lỗi chia cho 0")

    def test_it_is_counted_and_claims_no_id(self, written: dict[str, list[Fields]]) -> None:
        [delta] = written["throughput.deltas"]
        assert [(c["kind"], c["outcome"], c["code"], c["documents"]) for c in delta["cells"]] == [
            ("document", "set_aside", "record.set_aside", 1)
        ]
        [changes] = written["store"]
        assert (changes["puts"], changes["moves"], changes["forgets"]) == ([], [], [])
        assert {"topic": "documents", "next_offset": 8} in changes["covers"]
