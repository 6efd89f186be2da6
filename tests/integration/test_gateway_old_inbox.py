"""An inbox whose oldest records left their topic, on the real Kafka: the old cursor is told so, and no other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from exchange.agencies.levels import Level
from exchange.backbone.clients import producer
from exchange.gateway import Limits, inboxes
from exchange.gateway.inboxes import Inboxes
from exchange.gateway.problems import Refused
from exchange.gateway.recent import Recent
from exchange.local.simulation.cast import Member
from exchange.signatures import sign_record
from exchange.statements import schema
from exchange.statements.compose import encode
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

COUNT, KEPT = 6, 4


@pytest.fixture
def topic(exchange: Exchange) -> Iterator[str]:
    """A topic of this test alone."""
    name = f"inbox-trimmed-{uuid.uuid4()}"
    exchange.world.admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    yield name
    exchange.world.admin.delete_topics([name])[name].result(30)


def fill(exchange: Exchange, topic: str, member: Member) -> None:
    out = producer(exchange.world.base)
    for number in range(COUNT):
        record = sign_record(encode("document", exchange.document(member, ["H26"])), [member.key])
        fields = {"recipients": [member.agency.code], "topic": "documents", "partition": 0, "offset": number}
        value = schema("delivery").encode(
            fields | {"append_ms": 1, "directory_offset": 1, "sha256": bytes(32), "record": record}
        )
        out.produce(topic, value, partition=0)
    assert out.flush(30) == 0


async def test_what_left_is_told_and_what_is_kept_comes(
    exchange: Exchange, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = exchange.member(Level.PROVINCE, 11)
    fill(exchange, topic, member)
    place = TopicPartition(topic, 0, COUNT - KEPT)
    exchange.world.admin.delete_records([place])[place].result(30)
    monkeypatch.setattr(inboxes, "INBOX_TOPICS", {member.agency.level: topic})
    recent = Recent(1000)
    recent.begin((topic, 0), COUNT)
    one = Inboxes(exchange.world.base, 1, recent, Limits())

    async def offsets(cursor: str | None) -> list[int]:
        page = await one.page(member.agency, cursor, 0, 100, frozenset())
        return [delivery.source_offset for _, delivery in page.found]

    kept = list(range(COUNT - KEPT, COUNT))
    assert await offsets(None) == kept
    assert await offsets(one.cursor(member.agency, COUNT - KEPT)) == kept
    for left in range(COUNT - KEPT):
        with pytest.raises(Refused) as caught:
            await offsets(one.cursor(member.agency, left))
        assert caught.value.code == "cursor.expired"
