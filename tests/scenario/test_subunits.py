"""A part of an agency with a code of its own (a department of a province) is addressed as itself, and answers so."""

from __future__ import annotations

import pytest

from exchange.agencies.levels import Level
from exchange.local.simulation.cast import Member
from tests.support.running import Exchange


@pytest.fixture(scope="module")
def department(exchange: Exchange) -> Member:
    return next(member for member in exchange.cast.members.values() if member.agency.form == "department")


def test_it_gets_the_document_and_what_it_is_part_of_does_not(exchange: Exchange, department: Member) -> None:
    sender = exchange.member(Level.CENTRAL)
    assert department.agency.parent in exchange.cast.members
    [fate] = exchange.fates([exchange.submit("document", exchange.document(sender, [department.agency.code]), sender)])
    assert fate.recipients == [department.agency.code]


def test_it_answers_for_itself_and_its_agency_does_not(exchange: Exchange, department: Member) -> None:
    sender, above = exchange.member(Level.CENTRAL), exchange.cast.members[department.agency.parent or ""]
    fields = exchange.document(sender, [department.agency.code])
    exchange.fates([exchange.submit("document", fields, sender)])
    said = [
        exchange.prepare("status", exchange.status(above, fields, 1), above),
        exchange.prepare("status", exchange.status(department, fields, 3), above),
        exchange.prepare("status", exchange.status(department, fields, 3), department),
    ]
    fates = exchange.fates(exchange.submit_all(said))
    assert [(fate.event["outcome"], fate.event["code"]) for fate in fates] == [
        ("rejected", "status.not_a_recipient"),
        ("rejected", "signature.not_the_senders"),
        ("accepted", ""),
    ]


def test_its_agency_and_it_are_two_recipients(exchange: Exchange, department: Member) -> None:
    sender = exchange.member(Level.CENTRAL)
    both = [department.agency.code, department.agency.parent or ""]
    [fate] = exchange.fates([exchange.submit("document", exchange.document(sender, both), sender)])
    assert fate.recipients == sorted(both)


def test_it_sends_in_its_own_name(exchange: Exchange, department: Member) -> None:
    to = exchange.member(Level.CENTRAL).agency.code
    fields = exchange.document(department, [to])
    [fate] = exchange.fates([exchange.submit("document", fields, department)])
    assert (fate.event["outcome"], fate.recipients) == ("accepted", [to])
