"""The schemas as a topic, so that any tool that reads the logs can find what a record was written with.

Key: the schema's fingerprint (CRC-64-AVRO, 16 hex digits as in the record's prefix). Value: the schema's JSON.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from exchange.backbone.clients import Config, producer
from exchange.backbone.reading import read_to_end
from exchange.errors import Unavailable
from exchange.statements import schemas

TOPIC = "schemas"
FLUSH_TIMEOUT_S = 30.0


def publish_schemas(base: Config) -> int:
    """Append the schemas that the topic lacks; returns how many. Raises: Unavailable."""
    known = {read.key for portion in read_to_end(base, {(TOPIC, 0): None}) for read in portion}
    missing = [(one.fingerprint.encode(), one.source) for one in schemas().values()]
    missing = [(key, source) for key, source in missing if key not in known]
    out = producer(base)
    failures: list[str] = []

    def arrived(failure: KafkaError | None, _: Message) -> None:
        if failure is not None:
            failures.append(failure.str())

    for key, source in missing:
        out.produce(TOPIC, source.encode(), key, 0, on_delivery=arrived)
    if out.flush(FLUSH_TIMEOUT_S) or failures:
        raise Unavailable("kafka.unavailable", failures[0] if failures else "schemas not taken")
    return len(missing)
