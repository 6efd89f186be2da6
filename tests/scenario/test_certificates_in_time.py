"""Certificates over time: re-issue with overlap, revocation, and what was accepted under a lost key."""

from __future__ import annotations

from datetime import date

import pytest
from rich.console import Console

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.cli.tracing import drawn
from exchange.local.founding import listed, now_ms, revocations
from exchange.local.simulation.cast import Member
from exchange.views.suspects import accepted_since, marked
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support.running import Exchange, Fate


@pytest.fixture(scope="module")
def renewed(exchange: Exchange) -> dict[str, Fate]:
    """A unit's seal is re-issued; both are used; then the old one is revoked as compromised; both are used again."""
    world, to = exchange.world, [exchange.member(Level.DISTRICT).agency.code]
    agency = Agency(
        "H26.RENEWED", now_ms(), "Đơn vị đổi khóa", Level.PROVINCE, "department", "H26", (), date(2020, 1, 1), None, ()
    )
    first, issued = (world.authority.issue(agency.code, agency.name) for _ in range(2))
    exchange.enter([agency, *listed([first, issued])])
    old, member = first.signing_key, Member(agency, first.signing_key)

    def send(*names: str) -> dict[str, Fate]:
        keys = {"old": old, "new": issued.signing_key}
        records = [
            exchange.prepare("document", exchange.document(member, to), member, keys=[keys[name.split()[0]]])
            for name in names
        ]
        return dict(zip(names, exchange.fates(exchange.submit_all(records)), strict=True))

    fates = send("old before", "new before")
    world.authority.revoke(first.certificate, now_ms(), now_ms() - 3_600_000, "keyCompromise")
    exchange.enter([revocations(world.authority)])
    return fates | send("old after", "new after")


def test_old_and_new_certificates_overlap(renewed: dict[str, Fate]) -> None:
    assert renewed["old before"].event["outcome"] == "accepted"
    assert renewed["new before"].event["outcome"] == "accepted"
    assert renewed["old before"].event["certificate"] != renewed["new before"].event["certificate"]


def test_a_revoked_certificate_is_refused_from_its_revocation_on(renewed: dict[str, Fate]) -> None:
    assert renewed["old after"].event["code"] == "certificate.revoked"
    assert renewed["old after"].deliveries == []
    assert renewed["new after"].event["outcome"] == "accepted"


def test_what_was_accepted_since_the_key_may_have_been_lost_is_listed(
    exchange: Exchange, renewed: dict[str, Fate]
) -> None:
    store = TraceStore(exchange.world.database_url)
    TraceProjection(exchange.world.base, store).catch_up()
    certificate = renewed["old before"].event["certificate"]
    listed_ids = {suspect.id for suspect in accepted_since(store, certificate, now_ms() - 3_600_000)}
    assert renewed["old before"].event["id"] in listed_ids
    assert renewed["new before"].event["id"] not in listed_ids
    assert accepted_since(store, certificate, now_ms() + 60_000) == []


def test_the_path_of_a_document_says_that_it_is_suspect(exchange: Exchange, renewed: dict[str, Fate]) -> None:
    store = TraceStore(exchange.world.database_url)
    TraceProjection(exchange.world.base, store).catch_up()
    exchange.world.directory_log.catch_up()
    said = {}
    for name in ("old before", "new before"):
        path = trace(store, renewed[name].event["id"])
        assert path is not None
        path = marked(path, exchange.world.trust.compromised)
        console = Console(record=True, width=200)
        console.print(drawn(path))
        said[name] = console.export_text()
    assert "suspect" in said["old before"]
    assert "suspect" not in said["new before"]
