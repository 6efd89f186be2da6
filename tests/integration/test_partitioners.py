"""Same key, same partition, whoever writes: librdkafka as we set it up, aiokafka, and Java's own producer."""

from __future__ import annotations

import os
import subprocess

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic

from exchange.backbone.clients import connection, producer
from exchange.backbone.reading import read_to_end
from exchange.backbone.topics import Layout, Topic, difference
from exchange.errors import Misconfigured
from exchange.local.jars import class_path
from exchange.local.kafka import _java
from exchange.local.services import Services
from exchange.pipeline.submission import partition_of

pytestmark = pytest.mark.integration

PARTITIONS = 7
KEYS = [*(f"H26/{number}" for number in range(60)), "Nghệ An/công văn 1", "21", "x" * 300]


@pytest.fixture(scope="module")
def admin(services: Services) -> AdminClient:
    """An administrative client."""
    return AdminClient(connection(services.bootstrap_servers))


def make(admin: AdminClient, name: str, partitions: int = PARTITIONS) -> None:
    """Make a topic of this test's."""
    for done in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        done.result(30)


async def write_with_aiokafka(servers: str, topic: str) -> None:
    writer = AIOKafkaProducer(bootstrap_servers=servers)
    await writer.start()
    try:
        for key in KEYS:
            await writer.send_and_wait(topic, b"x", key.encode())
    finally:
        await writer.stop()


def write_with_java(servers: str, topic: str) -> None:
    """By the console producer, which is Kafka's own client with its default partitioner."""
    command = [_java(), "-Dfile.encoding=UTF-8", "-Dstdin.encoding=UTF-8", "org.apache.kafka.tools.ConsoleProducer"]
    command += ["--bootstrap-server", servers, "--topic", topic, "--reader-property", "parse.key=true"]
    lines = "".join(f"{key}\tx\n" for key in KEYS).encode()
    environment = {**os.environ, "CLASSPATH": class_path(), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, input=lines, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


async def test_same_key_same_partition_whoever_writes(services: Services, admin: AdminClient) -> None:
    servers, expected = services.bootstrap_servers, {key: {partition_of(key.encode(), PARTITIONS)} for key in KEYS}
    base = connection(servers)
    make(admin, "keyed-by-three")
    ours = producer(base)
    for key in KEYS:
        ours.produce("keyed-by-three", b"x", key.encode())
    assert ours.flush(30) == 0
    await write_with_aiokafka(servers, "keyed-by-three")
    write_with_java(servers, "keyed-by-three")
    found: dict[str, list[int]] = {}
    for portion in read_to_end(base, {("keyed-by-three", p): None for p in range(PARTITIONS)}):
        for read in portion:
            found.setdefault((read.key or b"").decode(), []).append(read.partition)
    assert {len(partitions) for partitions in found.values()} == {3}
    assert {key: set(partitions) for key, partitions in found.items()} == expected


def test_a_topics_partition_count_is_fixed_for_life(admin: AdminClient) -> None:
    """Growing it would remap its keys, so `init` refuses, and says what to do instead."""
    make(admin, "fixed-for-life", 4)
    kept = Layout((Topic("fixed-for-life", 4, 1, {}),), 4, 4)
    assert not difference(admin, kept).missing
    grown = Layout((Topic("fixed-for-life", 8, 1, {}),), 8, 8)
    with pytest.raises(Misconfigured, match="has 4 partitions, not 8; counts are fixed"):
        difference(admin, grown)
