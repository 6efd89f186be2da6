"""A hundred records of random bytes in a row between good ones: none stops the partition that they are in."""

from __future__ import annotations

import random

from exchange.agencies.levels import Level
from exchange.local.simulation.hostile import Bad
from exchange.pipeline.submission import partition_of
from tests.support.running import Exchange


def test_a_hundred_random_records_between_good_ones(exchange: Exchange) -> None:
    noise = random.Random(20221128)
    sender, to = exchange.member(Level.PROVINCE, 5), [exchange.member(Level.DISTRICT).agency.code]
    before, after = (exchange.prepare("document", exchange.document(sender, to), sender) for _ in range(2))
    partition = partition_of(before.key, exchange.world.layout.keyed)
    rubbish = [
        Bad(
            "",
            "documents",
            noise.randbytes(8),
            noise.randbytes(noise.randint(0, 2000)),
            told=False,
            partition=partition,
        )
        for _ in range(100)
    ]
    fates = exchange.fates(exchange.submit_all([before, *rubbish, after]))
    assert fates[0].event["outcome"] == fates[-1].event["outcome"] == "accepted"
    for record, fate in zip(rubbish, fates[1:-1], strict=True):
        assert fate.event["outcome"] == "rejected"
        assert fate.event["code"].startswith("avro.")
        assert fate.dead_letters[0]["value"] == record.value
        assert fate.deliveries == fate.notices == []
