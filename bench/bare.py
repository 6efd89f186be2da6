"""The bare loop: consume, verify P-256, decode Avro, produce in a transaction; nothing of what the hop guarantees
beyond that. What the two Kafka clients make of it, in the same run and on the same records, is what the hop's figure
is to be seen against. confluent-kafka verifies in two threads of a synchronous loop, aiokafka in two beside its own.

Run as a process of its own: ``python -m bench.bare CLIENT BOOTSTRAP COUNT GROUP``, keys on its standard input.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from bench.corpus import Corpus
from bench.results import Result, result, told
from bench.world import SEED, BenchWorld
from bench.yardstick import verified_per_second
from exchange.backbone import topics
from exchange.backbone.clients import TRANSACTION_TIMEOUT_MS, connection, member, producer, transactional_producer
from exchange.backbone.topics import Difference, Topic
from exchange.statements import schema

SOURCE, TARGET = "bench.in", "bench.out"
PARTITIONS, BATCH = 4, 1_000
DOCUMENTS, ROUNDS = 50_000, 3
CLIENTS = ("confluent_kafka", "aiokafka")
_ALGORITHM = ec.ECDSA(Prehashed(SHA256()))

Keys = dict[bytes, Any]
"""Public keys by the SHA-256 of their certificate."""


def measure(bench: BenchWorld, rounds: int = ROUNDS, documents: int = DOCUMENTS) -> Iterator[Result]:
    """Interleaved rounds of both clients over the same records."""
    settings = {"max.message.bytes": "1048576"}
    wanted = tuple(Topic(name, PARTITIONS, 1, settings) for name in (SOURCE, TARGET))
    topics.apply(bench.world.admin, Difference(wanted, ()))
    out = producer(bench.world.base, linger_ms=20)
    for one in Corpus(bench.cast, SEED, "bare").signed_singly(documents):
        while True:
            try:
                out.produce(SOURCE, one.record, one.fields["id"])
                break
            except BufferError:
                out.poll(0.1)
    out.flush()
    runs: dict[str, list[dict[str, Any]]] = {client: [] for client in CLIENTS}
    for number in range(1, rounds + 1):
        for client in CLIENTS:
            runs[client].append(_run(bench, client, documents, f"bare-{client}-{number}"))
            told(f"round {number}, {client}: {runs[client][-1]}")
    for client in CLIENTS:
        ratios = [run["ratio"] for run in runs[client]]
        yield result(f"bare.{client}", ratios, "x one bare core", runs=runs[client])


def _run(bench: BenchWorld, client: str, documents: int, group: str) -> dict[str, Any]:
    yardstick = verified_per_second()
    keys = {
        member.key.certificate.hex(): member.key.private_key.public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        .hex()
        for member in bench.cast.members.values()
    }
    command = [sys.executable, "-m", "bench.bare", client, bench.world.base["bootstrap.servers"], str(documents), group]
    done = subprocess.run(command, input=json.dumps(keys), capture_output=True, text=True, check=True)
    run: dict[str, Any] = json.loads(done.stdout)
    return run | {"yardstick_per_second": round(yardstick), "ratio": round(run["per_second"] / yardstick, 3)}


def _verify(values: Sequence[bytes], keys: Keys) -> None:
    for value in values:
        record = schema("record").decode(value)
        signature = record["signatures"][0]
        digest = sha256(record["statement"]).digest()
        keys[signature["certificate"]].verify(signature["value"], digest, _ALGORITHM)
        schema("document").decode(record["statement"])


def with_confluent_kafka(bootstrap: str, count: int, group: str, keys: Keys) -> Iterator[int]:
    """Yields how many are committed."""
    base = connection(bootstrap)
    consumer, out = member(base, group, group), transactional_producer(base, group)
    consumer.subscribe([SOURCE], on_assign=lambda c, tps: c.assign([_from_start(tp) for tp in tps]))
    out.init_transactions(30)
    done = 0
    with ThreadPoolExecutor(1) as second:
        while done < count:
            messages = consumer.consume(BATCH, timeout=0.05)
            if not messages:
                continue
            values = [value for message in messages if isinstance(value := message.value(), bytes)]
            other = second.submit(_verify, values[::2], keys)
            _verify(values[1::2], keys)
            other.result()
            out.begin_transaction()
            for message, value in zip(messages, values, strict=True):
                out.produce(TARGET, value, message.key())
            out.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
            )
            out.commit_transaction()
            done += len(messages)
            yield done
    consumer.close()


def _from_start(place: Any) -> Any:  # noqa: ANN401  a TopicPartition
    place.offset = 0
    return place


async def with_aiokafka(bootstrap: str, count: int, group: str, keys: Keys) -> list[tuple[float, int]]:
    """When how many were committed."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    consumer = AIOKafkaConsumer(
        SOURCE, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed",
    )  # fmt: skip
    out = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=group,
        acks="all",
        linger_ms=5,
        max_batch_size=256 * 1024,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    )
    await consumer.start()
    await out.start()
    done, marks = 0, []
    with ThreadPoolExecutor(2) as threads:
        loop = asyncio.get_running_loop()
        while done < count:
            read = await consumer.getmany(timeout_ms=50, max_records=BATCH)
            records = [record for portion in read.values() for record in portion]
            if not records:
                continue
            values = [record.value for record in records]
            halves = (values[::2], values[1::2])
            await asyncio.gather(*(loop.run_in_executor(threads, _verify, half, keys) for half in halves))
            async with out.transaction():
                for record in records:
                    await out.send(TARGET, record.value, record.key)
                offsets = {place: portion[-1].offset + 1 for place, portion in read.items()}
                await out.send_offsets_to_transaction(offsets, group)
            done += len(records)
            marks.append((time.perf_counter(), done))
    await consumer.stop()
    await out.stop()
    return marks


def main() -> None:
    """Go through the topic once and print documents a second, from the first commit to the last."""
    client, bootstrap, count, group = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    keys = {bytes.fromhex(k): load_der_public_key(bytes.fromhex(v)) for k, v in json.load(sys.stdin).items()}
    if client == "confluent_kafka":
        marks = [(time.perf_counter(), done) for done in with_confluent_kafka(bootstrap, count, group, keys)]
    else:
        marks = asyncio.run(with_aiokafka(bootstrap, count, group, keys))
    seconds, documents = marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]
    print(json.dumps({"per_second": round(documents / seconds)}))


if __name__ == "__main__":
    main()
