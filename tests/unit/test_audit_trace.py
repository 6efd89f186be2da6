"""The auditor on a spoiled trace, and on a hop that accepts what it may not."""

from __future__ import annotations

import pytest

from exchange.pipeline.store import claim_key, pack, unpack
from exchange.statements import Fields
from tests.unit.audit_spoiling import change_event, delivery_of, events, events_of, found, of
from tests.unit.audited_world import World, document, lively, status


class TestTrace:
    def test_missing_event(self) -> None:
        world = lively()
        events(world, "d2", lambda listed, place: listed.pop(place))
        balance = world.balance()
        assert [f.at for f in balance.findings] == [world.at["d2"]]
        assert found(balance) == [("audit.missing_event", "d2")]
        assert not balance.holds

    def test_missing_event_of_a_rejection(self) -> None:
        world = lively()
        events(world, "ruled-out", lambda listed, place: listed.pop(place))
        assert found(world.balance()) == [("audit.missing_event", "ruled-out")]

    def test_doubled_event(self) -> None:
        world = lively()
        events(world, "d2", lambda listed, place: listed.append(listed[place]))
        assert found(world.balance()) == [("audit.doubled_event", "d2")]

    def test_doubled_trace_record(self) -> None:
        world = lively()
        world.double("trace", of(world, "d6"))
        assert found(world.balance()) == [("audit.doubled_event", "d6")]

    def test_event_out_of_order(self) -> None:
        world = lively()
        events(world, "d2", lambda listed, place: listed.append(listed.pop(place)))
        assert found(world.balance()) == [("audit.event_out_of_order", "d2")]

    def test_surplus_event(self) -> None:
        """A submission vanished from its topic, with everything it led to still there."""
        world = lively()
        at = world.at["d2"]
        world.topics[at.topic, at.partition] = [
            r for r in world.topics[at.topic, at.partition] if r.offset != at.offset
        ]
        balance = world.balance()
        assert [(f.code, f.at, f.id) for f in balance.findings] == [("audit.surplus_event", at, "d2")]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sender", "H02"),
            ("id", "d"),
            ("thread", "H01/d"),
            ("sha256", bytes(32)),
            ("verified", False),
            ("kind", "status"),
            ("append_ms", 5),
            ("code", "x"),
        ],
    )
    def test_altered_event(self, name: str, value: object) -> None:
        world = lively()
        change_event(world, "d2", lambda event: event.update({name: value}))
        balance = world.balance()
        assert [(f.code, f.at) for f in balance.findings] == [("audit.altered_event", world.at["d2"])]

    def test_altered_summary_and_step(self) -> None:
        world = lively()
        change_event(world, "d2", lambda event: event["summary"].update(subject="khác"))
        change_event(world, "s1", lambda event: event["status"].update(code=6))
        assert sorted(found(world.balance())) == [("audit.altered_event", "d2"), ("audit.altered_event", "s1")]

    def test_missing_copy(self) -> None:
        world = lively()
        change_event(world, "d2", lambda event: event["deliveries"].pop(3))
        balance = world.balance()
        assert found(balance) == [("audit.missing_copy", "d2")]
        assert "H01.01.03" in balance.findings[0].sentence

    def test_surplus_copy(self) -> None:
        world = lively()
        change_event(
            world, "d1", lambda event: event["deliveries"].append({**event["deliveries"][0], "recipient": "G00"})
        )
        assert found(world.balance()) == [("audit.surplus_copy", "d1")]

    @pytest.mark.parametrize("change", [{"redirected_from": None}, {"level": 1}, {"partition": 7}])
    def test_altered_copy(self, change: Fields) -> None:
        world = lively()
        change_event(world, "d3", lambda event: event["deliveries"][1].update(change))
        assert found(world.balance()) == [("audit.altered_copy", "d3")]

    def test_misplaced_record(self) -> None:
        world = lively()
        world.alter("throughput.deltas", lambda f: f["topic"] == "reports", lambda f: {**f, "partition": 7})
        codes = [code for code, _ in found(world.balance())]
        assert codes == ["audit.misplaced_record", "audit.delta_gap"]

    def test_unreadable_record(self) -> None:
        world = lively()
        log, place = world.find("inbox", delivery_of(world, "d1", "H01"))
        log[place] = log[place]._replace(value=b"nonsense")
        assert sorted(found(world.balance())) == [("audit.missing_delivery", "d1"), ("audit.unreadable_record", "")]


class TestAcceptance:
    def test_wrongly_accepted_by_the_directory(self) -> None:
        """The directory as audited never had the group: as if the hop had applied another one."""
        world = World()
        world.submit("document", document("H01", "d2", "@all"))
        world.hop()
        world.alter("trace", of(world, "d2"), lambda fields: {**fields, "directory_offset": 1})
        assert found(world.balance()) == [("audit.wrongly_accepted", "d2")]

    def test_accepted_under_a_foreign_key(self) -> None:
        world = lively()
        at = world.at["d1"]
        log = world.topics[at.topic, at.partition]
        log[at.offset] = log[at.offset]._replace(key=b"G01/other")
        assert ("audit.wrongly_accepted", "d1") in found(world.balance())

    def test_id_accepted_twice(self) -> None:
        """A hop that lost its store in between."""
        world = World()
        said = document("G01", "d1", "H01")
        world.submit("document", said)
        world.hop()
        again = World()
        again.topics, again._positions = world.topics, world._positions
        log = again.topics["documents", world.at["d1"].partition]
        again._clock_ms = log[-1].append_ms
        again.submit("document", said)
        again.hop()
        balance = again.balance()
        assert found(balance) == [("audit.id_accepted_twice", "d1")]
        assert balance.findings[0].at.offset == 1

    def test_duplicate_without_original(self) -> None:
        world = lively()
        repeats = [e for _, e in events_of(world) if e["outcome"] == "duplicate" and e["kind"] == "document"]
        world.at["d1 again"] = world.at["d1"]._replace(offset=repeats[0]["offset"])
        change_event(world, "d1 again", lambda event: event.update(accepted_offset=3))
        balance = world.balance()
        assert found(balance) == [("audit.duplicate_without_original", "d1")]
        assert balance.findings[0].at == world.at["d1 again"]

    def test_duplicate_that_never_was_accepted(self) -> None:
        world = lively()
        change_event(
            world, "d6", lambda e: e.update(outcome="duplicate", deliveries=[], summary=None, accepted_offset=0)
        )
        assert "audit.duplicate_without_original" in [code for code, _ in found(world.balance())]

    def test_receipt_without_delivery(self) -> None:
        """A hop that lets somebody sign for what it never got."""
        world = World()
        said = document("G01", "d1", "H01")
        world.submit("document", said)
        world.hop()
        at = world.at["d1"]
        world.submit("status", status("H02", "s1", said, 1))
        world.submit("status", status("H01", "s2", said, 1))
        store, ordinal = world._stores[at.partition], world.directory.latest().ordinal
        claim = unpack(store._applied[claim_key("G01/d1", "G01", "d1")])
        to_both = pack(claim.digest, 0, claim.append_ms, claim.topic, [ordinal("H01"), ordinal("H02")], bytes(2))
        store._applied[claim_key("G01/d1", "G01", "d1")] = to_both
        world.hop()
        assert found(world.balance()) == [("audit.receipt_without_delivery", "s1")]
