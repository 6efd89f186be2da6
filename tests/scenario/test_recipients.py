"""Who gets a document: groups, one copy each, closed and merged units, and the worst case of the whole country."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.local.founding import now_ms
from exchange.pipeline.routing import day_of
from tests.support.running import Exchange

COMMUNES = 10_599


def test_one_submission_to_all_provinces_is_63_deliveries_and_63_receipts(exchange: Exchange) -> None:
    ministry = exchange.cast.members["G22"] if "G22" in exchange.cast.members else exchange.member(Level.CENTRAL)
    fields = exchange.document(ministry, ["@provinces"])
    place = exchange.submit("document", fields, ministry)
    exchange.settle()
    recipients = exchange.fate(place).recipients
    assert len(recipients) == len(set(recipients)) == 63
    receipts = [
        exchange.prepare("status", exchange.status(exchange.cast.members[code], fields, 1), exchange.cast.members[code])
        for code in recipients
    ]
    fates = exchange.fates(exchange.submit_all(receipts))
    assert {fate.event["outcome"] for fate in fates} == {"accepted"}
    assert {fate.event["status"]["recipient"] for fate in fates} == set(recipients)


def test_the_worst_case_of_all_communes_in_one_transaction(exchange: Exchange) -> None:
    ministry = next(m for m in exchange.cast.by_level[Level.CENTRAL] if m.agency.form == "ministry")
    [fate] = exchange.fates([exchange.submit("document", exchange.document(ministry, ["@communes"]), ministry)])
    assert fate.event["outcome"] == "accepted"
    communes = {agency.code for agency in exchange.view.expand("@communes", day_of(now_ms()))}
    assert len(communes) >= COMMUNES
    assert fate.recipients == sorted(communes)
    assert len(fate.deliveries) == exchange.world.layout.inbox


def test_a_group_that_the_sender_may_not_address(exchange: Exchange) -> None:
    commune = exchange.member(Level.COMMUNE)
    [fate] = exchange.fates([exchange.submit("document", exchange.document(commune, ["@provinces"]), commune)])
    assert (fate.event["outcome"], fate.event["code"]) == ("rejected", "group.not_allowed")
    assert fate.deliveries == []


def test_a_unit_named_twice_and_by_its_old_code_gets_one_copy(exchange: Exchange) -> None:
    sender, recipient = exchange.member(Level.PROVINCE, 3), exchange.member(Level.PROVINCE, 4).agency
    names = [recipient.code, recipient.other_codes[0]]
    fields = exchange.document(sender, names, information=[recipient.code])
    [fate] = exchange.fates([exchange.submit("document", fields, sender)])
    assert fate.recipients == [recipient.code]


@pytest.fixture(scope="module")
def merged(exchange: Exchange) -> tuple[Agency, Agency, Agency]:
    """A unit that closed yesterday with a successor, its successor, and one that closed without."""
    parent = exchange.member(Level.DISTRICT).agency
    opened, yesterday = date(2020, 1, 1), day_of(now_ms()) - timedelta(days=1)
    heir = Agency(
        f"{parent.code}.97", now_ms(), "Xã kế thừa", Level.COMMUNE, "commune", parent.code, (), opened, None, ()
    )
    old = Agency(
        f"{parent.code}.98", now_ms(), "Xã sáp nhập", Level.COMMUNE, "commune", parent.code, (), opened, yesterday,
        (heir.code,),
    )  # fmt: skip
    gone = Agency(
        f"{parent.code}.99", now_ms(), "Xã giải thể", Level.COMMUNE, "commune", parent.code, (), opened, yesterday, ()
    )
    exchange.enter([heir, old, gone])
    return old, heir, gone


def test_a_merged_units_document_goes_to_its_successor(
    exchange: Exchange, merged: tuple[Agency, Agency, Agency]
) -> None:
    old, heir, _ = merged
    sender = exchange.member(Level.PROVINCE, 3)
    [fate] = exchange.fates([exchange.submit("document", exchange.document(sender, [old.code]), sender)])
    assert fate.recipients == [heir.code]
    assert fate.event["deliveries"][0]["redirected_from"] == old.code


def test_a_closed_unit_is_undeliverable_and_the_sender_is_told(
    exchange: Exchange, merged: tuple[Agency, Agency, Agency]
) -> None:
    _, heir, gone = merged
    sender = exchange.member(Level.PROVINCE, 3)
    fields = exchange.document(sender, [gone.code, heir.code])
    [fate] = exchange.fates([exchange.submit("document", fields, sender)])
    assert fate.event["outcome"] == "accepted"
    assert fate.recipients == [heir.code]
    assert {d["recipient"]: d["partition"] for d in fate.event["deliveries"]}[gone.code] == -1
    [told] = fate.notices
    assert told.recipients == [sender.agency.code]
    assert (told.fields["outcome"], told.fields["recipients"]) == ("undeliverable", [gone.code])
