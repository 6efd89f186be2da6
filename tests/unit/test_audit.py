"""The auditor on a small exchange: nothing is found where all is well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchange.auditor import CODES
from exchange.auditor.recount import murmur2
from exchange.errors import Unavailable
from exchange.pipeline.submission import partition_of
from tests.unit.audit_spoiling import found, of
from tests.unit.audited_world import World, lively


class TestWell:
    def test_everything_that_can_happen_balances(self) -> None:
        balance = lively().balance()
        assert found(balance) == []
        assert balance.holds
        records = balance.total.records
        assert (records.submitted, records.accepted, records.rejected) == (25, 14, 7)
        assert (records.duplicates, records.set_aside, records.in_flight) == (2, 0, 2)
        copies = balance.total.copies
        assert (copies.recipients, copies.delivered, copies.undeliverable) == (58, 56, 2)
        assert (copies.acknowledged, copies.waiting, copies.told) == (3, 48, 5)
        assert balance.dead_letters == 7
        # Rejected with a proven sender that is open (4), and two senders of closed recipients.
        assert balance.notices == 6
        assert balance.by_levels[2, 4].acknowledged == 1
        assert balance.by_kind["status"].records.duplicates == 1

    def test_nothing_at_all_balances(self) -> None:
        assert World().balance().holds

    def test_json(self) -> None:
        told = json.loads(lively().balance().to_json())
        assert told["holds"] is True
        assert told["total"]["records"]["submitted"] == 25
        assert told["by_levels"]["2-4"]["recipients"] == 40

    def test_what_the_hop_did_after_the_cut_is_left_out(self) -> None:
        world = lively()
        cut = dict(world._positions)
        world.hop()
        world._positions = cut
        balance = world.balance()
        assert balance.holds
        assert balance.total.records.in_flight == 2

    def test_what_expired_is_not_missed(self) -> None:
        world = lively()
        for topic in ("documents", "statuses", "reports"):
            for partition in (0, 1):
                log = world.topics.get((topic, partition), [])
                del log[: len(log) // 2]
                if log:
                    world.openings[topic, partition] = log[0].offset
        balance = world.balance()
        assert found(balance) == []
        assert balance.holds

    def test_dead_letters_have_no_order(self) -> None:
        world = lively()
        log = max((log for (topic, _), log in world.topics.items() if topic == "dead-letters"), key=len)
        assert len(log) > 1
        log.reverse()
        assert world.balance().holds

    def test_directory_that_was_not_read_far_enough_is_the_worlds_fault(self) -> None:
        world = lively()
        world.alter("trace", of(world, "d6"), lambda fields: {**fields, "directory_offset": 99})
        with pytest.raises(Unavailable, match=r"directory\.behind"):
            world.balance()


def test_lost_trace_is_named_submission_by_submission() -> None:
    world = lively()
    for partition in (0, 1):
        world.topics.pop(("trace", partition), None)
    balance = world.balance()
    assert {code for code, _ in found(balance)} == {"audit.missing_event"}
    assert balance.finding_counts["audit.missing_event"] == 23
    assert not balance.total.records.holds


def test_every_code_has_a_test() -> None:
    """Each code of the table stands in one of the auditor's tests."""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("*/test_audit*.py"))
    assert [code for code in CODES if f'"{code}"' not in text] == []


@pytest.mark.parametrize("length", range(20))
def test_partitions_are_those_of_the_clients(length: int) -> None:
    """An implementation of its own, and yet the same hash."""
    key = bytes((31 * n + 200) % 256 for n in range(length))
    assert murmur2(key) % 48 == partition_of(key, 48)
