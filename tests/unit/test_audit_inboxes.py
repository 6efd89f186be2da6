"""The auditor on spoiled inboxes, dead letters and notices."""

from __future__ import annotations

from functools import partial

import pytest

from exchange.errors import Rejected
from exchange.statements import Fields, compose, schema
from tests.unit.audit_spoiling import change_event, delivery_of, found, name_also, notice_of, of
from tests.unit.audited_world import World, document, lively, record


class TestInboxes:
    def test_missing_delivery(self) -> None:
        world = lively()
        world.delete("inbox", delivery_of(world, "d1", "H01"))
        balance = world.balance()
        assert found(balance) == [("audit.missing_delivery", "d1")]
        assert balance.findings[0].at == world.at["d1"]
        assert not balance.total.copies.holds

    def test_doubled_delivery(self) -> None:
        world = lively()
        world.double("inbox", delivery_of(world, "d1", "H01"))
        assert found(world.balance()) == [("audit.doubled_delivery", "d1")]

    def test_surplus_delivery(self) -> None:
        """A rejected statement lies in an inbox."""
        world = lively()
        log, place = world.find("inbox", delivery_of(world, "d1", "H01"))
        rejected = world.at["unknown"]
        forged = schema("delivery").decode(log[place].value) | {
            "topic": rejected.topic, "partition": rejected.partition, "offset": rejected.offset,
        }  # fmt: skip
        log.append(log[place]._replace(offset=99, value=schema("delivery").encode(forged)))
        assert found(world.balance()) == [("audit.surplus_delivery", "unknown")]

    def test_delivery_of_no_source_partition(self) -> None:
        world = lively()
        log, place = world.find("inbox", delivery_of(world, "d1", "H01"))
        forged = schema("delivery").decode(log[place].value) | {"partition": 55}
        log.append(log[place]._replace(offset=99, value=schema("delivery").encode(forged)))
        assert found(world.balance()) == [("audit.surplus_delivery", "")]

    def test_misplaced_delivery(self) -> None:
        world = lively()
        log, place = world.find("inbox", delivery_of(world, "d1", "H01"))
        read = log.pop(place)
        other = (read.partition + 1) % 3
        world.topics.setdefault((read.topic, other), []).append(read._replace(partition=other, offset=99))
        assert found(world.balance()) == [("audit.misplaced_delivery", "d1")]

    @pytest.mark.parametrize(
        "change",
        [
            {"sha256": bytes(32)},
            {"append_ms": 1},
            {"directory_offset": 1},
            {"record": record(compose.encode("document", document("G01", "d1", "H01", content="forged")))},
        ],
    )
    def test_altered_delivery(self, change: Fields) -> None:
        world = lively()
        world.alter("inbox", delivery_of(world, "d1", "H01"), lambda fields: {**fields, **change})
        assert found(world.balance()) == [("audit.altered_delivery", "d1")]

    def test_delivery_under_another_key(self) -> None:
        world = lively()
        log, place = world.find("inbox", delivery_of(world, "d1", "H01"))
        log[place] = log[place]._replace(key=b"G01/d2")
        assert found(world.balance()) == [("audit.altered_delivery", "d1")]

    def test_delivery_out_of_order(self) -> None:
        world = World()
        said = [document("G01", f"d{n}", "H01") for n in range(8)]
        for one in said:
            world.submit("document", one)
        world.hop()
        first, second = [f"d{n}" for n in range(8) if world.at[f"d{n}"].partition == 0][:2]
        world.swap("inbox", delivery_of(world, first, "H01"), delivery_of(world, second, "H01"))
        assert found(world.balance()) == [("audit.delivery_out_of_order", first)]

    def test_missing_recipient(self) -> None:
        world = lively()
        world.alter(
            "inbox",
            delivery_of(world, "d2", "H01.01.05"),
            lambda fields: {**fields, "recipients": [r for r in fields["recipients"] if r != "H01.01.05"]},
        )
        balance = world.balance()
        assert found(balance) == [("audit.missing_recipient", "d2")]
        assert "H01.01.05" in balance.findings[0].sentence
        assert balance.total.copies.recipients - balance.total.copies.delivered == 3

    def test_surplus_recipient(self) -> None:
        for extra in ("H02", "H01"):
            world = lively()
            world.alter(
                "inbox",
                delivery_of(world, "d1", "H01"),
                partial(name_also, extra),
            )
            codes = found(world.balance())
            assert codes == [("audit.surplus_recipient", "d1")]

    def test_order_of_recipients_is_nobodys_business(self) -> None:
        world = lively()
        world.alter(
            "inbox",
            delivery_of(world, "d2", "H01.01.05"),
            lambda fields: {**fields, "recipients": fields["recipients"][::-1]},
        )
        assert world.balance().holds


class TestRejections:
    def test_missing_dead_letter(self) -> None:
        world = lively()
        world.delete("dead-letters", of(world, "ruled-out"))
        assert found(world.balance()) == [("audit.missing_dead_letter", "ruled-out")]

    def test_doubled_dead_letter(self) -> None:
        world = lively()
        world.double("dead-letters", of(world, "forged"))
        assert found(world.balance()) == [("audit.doubled_dead_letter", "forged")]

    @pytest.mark.parametrize(
        "change",
        [{"value": b"x"}, {"key": b"x"}, {"code": "x"}, {"append_ms": 1}, {"directory_offset": 1}, {"sender": None}],
    )
    def test_altered_dead_letter(self, change: Fields) -> None:
        world = lively()
        world.alter("dead-letters", of(world, "ruled-out"), lambda fields: {**fields, **change})
        assert found(world.balance()) == [("audit.altered_dead_letter", "ruled-out")]

    def test_dead_letter_that_names_an_unproven_sender(self) -> None:
        world = lively()
        world.alter("dead-letters", of(world, "forged"), lambda fields: {**fields, "sender": "H02"})
        assert found(world.balance()) == [("audit.altered_dead_letter", "forged")]

    def test_surplus_dead_letter(self) -> None:
        world = lively()
        log, place = world.find("dead-letters", of(world, "forged"))
        at = next(at for name, at in world.at.items() if name in {"d1", "d2", "d3", "d4"} and at[1] == log[place][1])
        forged = schema("dead_letter").decode(log[place].value) | {"offset": at.offset}
        log.append(log[place]._replace(offset=99, value=schema("dead_letter").encode(forged)))
        balance = world.balance()
        assert [(f.code, f.at) for f in balance.findings] == [("audit.surplus_dead_letter", at)]

    def test_missing_notice(self) -> None:
        world = lively()
        world.delete("inbox", notice_of(world, "ruled-out"))
        assert found(world.balance()) == [("audit.missing_notice", "ruled-out")]

    def test_missing_notice_of_closed_recipients(self) -> None:
        world = lively()
        world.delete("inbox", notice_of(world, "d4"))
        assert found(world.balance()) == [("audit.missing_notice", "d4")]

    def test_doubled_notice(self) -> None:
        world = lively()
        world.double("inbox", notice_of(world, "d3"))
        assert found(world.balance()) == [("audit.doubled_notice", "d3")]

    def test_altered_notice(self) -> None:
        world = lively()

        def lie(fields: Fields) -> Fields:
            told = schema("notice").decode(schema("record").decode(fields["record"])["statement"])
            return {**fields, "record": record(schema("notice").encode({**told, "code": "other.code"}))}

        world.alter("inbox", notice_of(world, "ruled-out"), lie)
        assert found(world.balance()) == [("audit.altered_notice", "ruled-out")]

    def test_surplus_notice_to_a_forgerys_claimed_sender(self) -> None:
        """The claimed sender of what never verified is told: as if by a hop that spams."""
        world = World()
        world.submit("document", document("H02", "forged", "H01"), Rejected("signature.wrong"))
        world.hop()
        world.alter("dead-letters", of(world, "forged"), lambda fields: {**fields, "sender": None})
        change_event(world, "forged", lambda event: event.update(verified=False))
        # The delta had counted it for the sender, too.
        assert found(world.balance()) == [("audit.delta_sums", "forged"), ("audit.surplus_notice", "forged")]
