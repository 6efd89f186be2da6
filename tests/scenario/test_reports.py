"""Report events: to the parent in the tree, or to the superior that they name."""

from __future__ import annotations

import uuid

from exchange.agencies.levels import Level
from exchange.local.founding import now_ms
from exchange.local.simulation.cast import Member
from exchange.statements import KINDS, Fields
from exchange.statements.compose import report, status
from tests.support.running import Exchange


def figures(member: Member, **changes: object) -> Fields:
    made = report(
        member.agency.code, str(uuid.uuid4()), "KTXH-THANG", "2022-11", [("CT-001", "%", 98.0)], signed_ms=now_ms()
    )
    return made | changes


def test_a_report_goes_to_the_parent_and_is_acknowledged(exchange: Exchange) -> None:
    commune = exchange.member(Level.COMMUNE)
    district = exchange.cast.members[commune.agency.parent or ""]
    fields = figures(commune)
    [fate] = exchange.fates([exchange.submit("report", fields, commune)])
    assert fate.recipients == [district.agency.code]
    said = status(
        district.agency.code, str(uuid.uuid4()), fields, 1, signed_ms=now_ms(),
        document_append_ms=fate.event["append_ms"], thread=KINDS["report"].key(fields),
    )  # fmt: skip
    [receipt] = exchange.fates([exchange.submit("status", said, district)])
    assert receipt.event["status"]["state"] == 1
    assert receipt.recipients == [commune.agency.code]


def test_a_report_to_the_superior_it_names(exchange: Exchange) -> None:
    commune = exchange.member(Level.COMMUNE)
    province = exchange.view.ancestors(commune.agency.code)[1]
    [fate] = exchange.fates([exchange.submit("report", figures(commune, to=province.code), commune)])
    assert fate.recipients == [province.code]


def test_a_report_to_somebody_who_does_not_stand_above(exchange: Exchange) -> None:
    commune, other = exchange.member(Level.COMMUNE), exchange.member(Level.CENTRAL)
    [fate] = exchange.fates([exchange.submit("report", figures(commune, to=other.agency.code), commune)])
    assert fate.event["code"] == "report.not_a_superior"
    assert fate.deliveries == []


def test_a_period_that_is_none(exchange: Exchange) -> None:
    commune = exchange.member(Level.COMMUNE)
    [fate] = exchange.fates([exchange.submit("report", figures(commune, period="2022-13"), commune)])
    assert fate.event["code"] == "report.period"
