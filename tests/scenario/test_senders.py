"""Who may speak: a unit that the directory knows and that is open; its certificate alone isn't enough."""

from __future__ import annotations

from datetime import date, timedelta

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.local.founding import listed, now_ms
from exchange.local.simulation.cast import Member
from exchange.pipeline.routing import day_of
from tests.support.running import Exchange, Fate


def speak(exchange: Exchange, agency: Agency, *, known: bool) -> Fate:
    """List a certificate of the unit, and the unit itself if `known`; then let it send a document."""
    issued = exchange.world.authority.issue(agency.code, agency.name)
    exchange.enter([*([agency] if known else []), *listed([issued])])
    member = Member(agency, issued.signing_key)
    fields = exchange.document(member, [exchange.member(Level.DISTRICT).agency.code])
    [fate] = exchange.fates([exchange.submit("document", fields, member)])
    return fate


def unit(code: str, valid_to: date | None = None) -> Agency:
    return Agency(
        code, now_ms(), f"Đơn vị {code}", Level.PROVINCE, "department", "H26", (), date(2020, 1, 1), valid_to, ()
    )


def test_a_unit_that_the_directory_does_not_know(exchange: Exchange) -> None:
    fate = speak(exchange, unit("H26.UNKNOWN"), known=False)
    assert (fate.event["outcome"], fate.event["code"]) == ("rejected", "sender.unknown")
    assert fate.deliveries == fate.notices == []
    assert len(fate.dead_letters) == 1


def test_a_unit_that_closed(exchange: Exchange) -> None:
    yesterday = day_of(now_ms()) - timedelta(days=1)
    fate = speak(exchange, unit("H26.CLOSED", yesterday), known=True)
    assert fate.event["code"] == "sender.closed"
    assert fate.deliveries == fate.notices == []


def test_a_unit_that_is_known_and_open(exchange: Exchange) -> None:
    fate = speak(exchange, unit("H26.OPEN"), known=True)
    assert fate.event["outcome"] == "accepted"
    assert fate.recipients == [exchange.member(Level.DISTRICT).agency.code]
