"""What is said about a document: receipts by its recipients, take-backs, recalls, updates; nobody else has a say."""

from __future__ import annotations

import uuid

import pytest

from exchange.agencies.levels import Level
from exchange.local.founding import now_ms
from exchange.statements import DOCUMENT, Fields
from exchange.statements.compose import follow_up
from tests.support.running import Exchange, Fate, Place


@pytest.fixture
def sent(exchange: Exchange) -> Fields:
    """An accepted document from a province to two districts."""
    sender = exchange.member(Level.PROVINCE, 2)
    to = [exchange.member(Level.DISTRICT, number).agency.code for number in (0, 1)]
    fields = exchange.document(sender, to)
    place = exchange.submit("document", fields, sender)
    exchange.settle()
    assert exchange.fate(place).recipients == sorted(to)
    return fields


def say(exchange: Exchange, about: Fields, code: int, number: int = 0, **changes: object) -> Place:
    """Let the n-th district say a status."""
    member = exchange.member(Level.DISTRICT, number)
    return exchange.submit("status", exchange.status(member, about, code) | changes, member)


def refused(fate: Fate) -> str:
    assert fate.event["outcome"] == "rejected"
    assert fate.deliveries == []
    code: str = fate.event["code"]
    return code


def test_receipts_reach_the_sender_and_move_the_copy(exchange: Exchange, sent: Fields) -> None:
    fates = exchange.fates([say(exchange, sent, code) for code in (1, 3, 6)])
    assert [fate.event["status"]["state"] for fate in fates] == [1, 3, 6]
    assert all(fate.recipients == [sent["sender"]] for fate in fates)


def test_a_status_by_one_who_is_not_a_recipient(exchange: Exchange, sent: Fields) -> None:
    [fate] = exchange.fates([say(exchange, sent, 1, number=2)])
    assert refused(fate) == "status.not_a_recipient"


def test_a_status_for_somebody_elses_copy(exchange: Exchange, sent: Fields) -> None:
    other = exchange.member(Level.DISTRICT, 1).agency.code
    [fate] = exchange.fates([say(exchange, sent, 1, recipient=other)])
    assert refused(fate) == "status.wrong_side"


def test_an_illegal_transition(exchange: Exchange, sent: Fields) -> None:
    first, second = exchange.fates([say(exchange, sent, 3), say(exchange, sent, 2, reason="Không đúng thẩm quyền")])
    assert first.event["outcome"] == "accepted"
    assert refused(second) == "status.illegal_transition"


def test_a_refusal_needs_a_reason(exchange: Exchange, sent: Fields) -> None:
    [fate] = exchange.fates([say(exchange, sent, 2)])
    assert refused(fate) == "status.reason_missing"


def test_a_status_in_a_foreign_thread_finds_no_document(exchange: Exchange, sent: Fields) -> None:
    [fate] = exchange.fates([say(exchange, sent, 1, thread=f"{sent['sender']}/other")])
    assert refused(fate) == "document.unknown"


def test_a_status_long_after_the_store_forgot_is_late_not_wrong(exchange: Exchange, sent: Fields) -> None:
    gone = sent | {"id": "long-ago"}
    long_ago = now_ms() - 50 * 86_400_000
    [fate] = exchange.fates([say(exchange, gone, 1, document_append_ms=long_ago)])
    assert refused(fate) == "document.expired"


def test_a_take_back_is_answered_by_the_recipient(exchange: Exchange, sent: Fields) -> None:
    sender, recipient = exchange.member(Level.PROVINCE, 2), exchange.member(Level.DISTRICT)
    asked = exchange.status(recipient, sent, 13, sender=sender.agency.code)
    places = [exchange.submit("status", asked, sender), say(exchange, sent, 15), say(exchange, sent, 3)]
    first, second, third = exchange.fates(places)
    assert first.recipients == [recipient.agency.code]
    assert second.event["status"]["state"] == 7
    assert refused(third) == "status.illegal_transition"


def test_a_recall_opens_a_request_that_each_recipient_answers(exchange: Exchange, sent: Fields) -> None:
    sender = exchange.member(Level.PROVINCE, 2)
    recall = follow_up(sent, "recall", str(uuid.uuid4()), "Thu hồi văn bản", signed_ms=now_ms())
    places = [
        exchange.submit("document", recall, sender),
        say(exchange, sent, 15),
        say(exchange, sent, 16, 1, reason="Đã xử lý"),
    ]
    recalled, agreed, declined = exchange.fates(places)
    assert recalled.event["outcome"] == "accepted"
    assert recalled.recipients == sorted(sent["to"])
    assert agreed.event["status"]["state"] == 7
    assert declined.event["status"]["state"] == 0


def test_an_answer_without_a_request(exchange: Exchange, sent: Fields) -> None:
    [fate] = exchange.fates([say(exchange, sent, 15)])
    assert refused(fate) == "status.no_request"


def test_a_replayed_agreement_does_not_answer_a_later_request(exchange: Exchange, sent: Fields) -> None:
    sender, member = exchange.member(Level.PROVINCE, 2), exchange.member(Level.DISTRICT)
    declined = exchange.prepare("status", exchange.status(member, sent, 16, reason="Chưa được"), member)

    def ask() -> Place:
        return exchange.submit("status", exchange.status(member, sent, 13, sender=sender.agency.code), sender)

    places = [ask(), *exchange.submit_all([declined]), ask(), *exchange.submit_all([declined])]
    fates = exchange.fates(places)
    assert [fate.event["outcome"] for fate in fates] == ["accepted", "accepted", "accepted", "duplicate"]


def test_a_recall_by_a_unit_that_never_got_the_document(exchange: Exchange, sent: Fields) -> None:
    sender = exchange.member(Level.PROVINCE, 2)
    recall = follow_up(sent, "recall", str(uuid.uuid4()), "Thu hồi", signed_ms=now_ms())
    recall["to"] = [exchange.member(Level.COMMUNE).agency.code]
    [fate] = exchange.fates([exchange.submit("document", recall, sender)])
    assert refused(fate) == "recall.not_a_recipient"


def test_an_urgent_recall_travels_in_its_documents_lane(exchange: Exchange, sent: Fields) -> None:
    """Else it would overtake the document that it recalls."""
    sender = exchange.member(Level.PROVINCE, 2)
    recall = follow_up(sent, "recall", str(uuid.uuid4()), "Thu hồi khẩn", signed_ms=now_ms())
    urgent = recall | {"urgency": 3, "lane": "urgent"}
    in_lane = recall | {"urgency": 3, "id": str(uuid.uuid4())}
    assert DOCUMENT.topic(in_lane) == "documents"
    first, second = exchange.fates([exchange.submit("document", f, sender) for f in (urgent, in_lane)])
    assert refused(first) == "document.lane"
    assert second.event["outcome"] == "accepted"
