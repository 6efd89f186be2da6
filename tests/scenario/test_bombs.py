"""Compression bombs: a small Kafka batch that swells to 100 MB in whoever opens it.

The submission topics are stored uncompressed, so the broker opens every batch itself and refuses what is larger than
a record may be. Nothing of it ever reaches a worker.
"""

from __future__ import annotations

import psutil
import pytest
from confluent_kafka import KafkaError, Message, Producer

from exchange.agencies.levels import Level
from exchange.local.crew import crew_of
from tests.support.running import Exchange

BOMB_BYTES = 100 * 1024 * 1024
WORKER_BYTES_MAX = 400 * 1024 * 1024


def worker_bytes(exchange: Exchange) -> int:
    [hop] = [child for child in crew_of(exchange.world.home) if child.name == "hop-1"]
    process = hop.process()
    assert process is not None
    return int(psutil.Process(process.pid).memory_info().rss)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "lz4"])
def test_a_compression_bomb_is_refused_by_the_broker(exchange: Exchange, compression: str) -> None:
    settings = {**exchange.world.base, "compression.type": compression, "message.max.bytes": 2 * BOMB_BYTES}
    failures: list[KafkaError | None] = []

    def arrived(failure: KafkaError | None, _: Message) -> None:
        failures.append(failure)

    bomber = Producer({**settings, "linger.ms": 0, "message.send.max.retries": 0})
    bomber.produce("documents", bytes(BOMB_BYTES), b"bomb", on_delivery=arrived)
    assert bomber.flush(60) == 0
    assert [failure.code() for failure in failures if failure is not None] == [KafkaError.MSG_SIZE_TOO_LARGE]
    sender = exchange.member(Level.PROVINCE, 5)
    fields = exchange.document(sender, [exchange.member(Level.DISTRICT).agency.code])
    [control] = exchange.fates([exchange.submit("document", fields, sender)])
    assert control.event["outcome"] == "accepted"
    assert worker_bytes(exchange) < WORKER_BYTES_MAX


@pytest.mark.parametrize("compression", ["zstd", "gzip", "lz4"])
def test_a_compressed_batch_of_ordinary_size_is_stored_uncompressed_and_accepted(
    exchange: Exchange, compression: str
) -> None:
    """The positive control: compression itself isn't refused."""
    sender = exchange.member(Level.PROVINCE, 5)
    record = exchange.prepare(
        "document", exchange.document(sender, [exchange.member(Level.DISTRICT).agency.code]), sender
    )
    places: list[tuple[str, int, int]] = []

    def arrived(failure: KafkaError | None, message: Message) -> None:
        assert failure is None
        places.append((message.topic() or "", message.partition() or 0, message.offset() or 0))

    other = Producer({**exchange.world.base, "compression.type": compression, "partitioner": "murmur2_random"})
    other.produce(record.topic, record.value, record.key, on_delivery=arrived)
    assert other.flush(30) == 0
    [fate] = exchange.fates(places)
    assert fate.event["outcome"] == "accepted"
