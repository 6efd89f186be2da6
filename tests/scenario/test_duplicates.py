"""The same again: the same bytes are recognised, other bytes under the same id are refused; both stay as evidence."""

from __future__ import annotations

from exchange.agencies.levels import Level
from tests.support.running import Exchange


def test_the_same_bytes_again_are_delivered_once(exchange: Exchange) -> None:
    sender, recipient = exchange.member(Level.PROVINCE, 1), exchange.member(Level.DISTRICT)
    record = exchange.prepare("document", exchange.document(sender, [recipient.agency.code]), sender)
    first, second, third = exchange.fates(exchange.submit_all([record, record, record]))
    assert first.event["outcome"] == "accepted"
    assert first.recipients == [recipient.agency.code]
    for again in (second, third):
        assert again.event["outcome"] == "duplicate"
        assert again.event["accepted_offset"] == first.event["offset"]
        assert again.deliveries == []


def test_the_same_statement_signed_anew_is_a_duplicate(exchange: Exchange) -> None:
    """ "Same bytes" means the statement's, not the record's: a new signature over them changes nothing."""
    sender = exchange.member(Level.PROVINCE, 1)
    fields = exchange.document(sender, [exchange.member(Level.DISTRICT).agency.code])
    records = [exchange.prepare("document", fields, sender) for _ in range(2)]
    assert records[0].value != records[1].value
    first, second = exchange.fates(exchange.submit_all(records))
    assert (first.event["outcome"], second.event["outcome"]) == ("accepted", "duplicate")


def test_other_bytes_under_the_same_id_are_refused_and_both_are_kept(exchange: Exchange) -> None:
    sender = exchange.member(Level.PROVINCE, 1)
    fields = exchange.document(sender, [exchange.member(Level.DISTRICT).agency.code])
    other = exchange.prepare("document", fields | {"subject": "Văn bản khác"}, sender)
    first, second = exchange.fates(exchange.submit_all([exchange.prepare("document", fields, sender), other]))
    assert first.event["outcome"] == "accepted"
    assert (second.event["outcome"], second.event["code"]) == ("rejected", "duplicate.other_bytes")
    assert second.deliveries == []
    assert second.dead_letters[0]["value"] == other.value
    assert first.deliveries[0].record != other.value


def test_a_rejected_id_can_be_used_again(exchange: Exchange) -> None:
    """Only acceptance claims an id, so a corrected resubmission works."""
    sender, recipient = exchange.member(Level.PROVINCE, 1), exchange.member(Level.DISTRICT)
    wrong = exchange.document(sender, ["H99.99"])
    corrected = wrong | {"to": [recipient.agency.code]}
    records = [exchange.prepare("document", fields, sender) for fields in (wrong, corrected)]
    first, second = exchange.fates(exchange.submit_all(records))
    assert first.event["code"] == "recipient.unknown"
    assert second.event["outcome"] == "accepted"
    assert second.recipients == [recipient.agency.code]
