"""Urgent documents don't wait behind a backlog of bulk."""

from __future__ import annotations

from exchange.agencies.levels import Level
from exchange.local.founding import now_ms
from exchange.local.simulation.hostile import Bad
from exchange.signatures import sign_batch
from exchange.statements import DOCUMENT
from exchange.statements.compose import encode
from tests.support.running import Exchange

BULK = 8_000


def test_an_urgent_document_overtakes_the_bulk_before_it(exchange: Exchange) -> None:
    sender, to = exchange.member(Level.PROVINCE, 10), [exchange.member(Level.DISTRICT).agency.code]
    fields = [exchange.document(sender, to) for _ in range(BULK)]
    records = sign_batch([encode("document", one) for one in fields], sender.key, sender.agency.code, now_ms())
    bulk = [
        Bad("", DOCUMENT.topic(one), DOCUMENT.key(one).encode(), record, told=False)
        for one, record in zip(fields, records, strict=True)
    ]
    urgent = exchange.prepare("document", exchange.document(sender, to, urgency=3, lane="urgent"), sender)
    *bulk_fates, urgent_fate = exchange.fates(exchange.submit_all([*bulk, urgent]))
    assert urgent_fate.event["outcome"] == "accepted"
    assert {fate.event["outcome"] for fate in bulk_fates} == {"accepted"}
    arrived_ms = urgent_fate.deliveries[0].inbox_ms
    later = sum(fate.deliveries[0].inbox_ms > arrived_ms for fate in bulk_fates)
    assert later > BULK // 10, f"only {later} of {BULK} bulk documents arrived after the urgent one"
