"""How every Kafka client of ours is set up: the unsafe defaults replaced, once, here.

Source: librdkafka's CONFIGURATION.md; KIP-98 (idempotence, transactions), KIP-345 (static members), KIP-447.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from exchange.errors import Fenced, Unavailable

MAX_RECORD_BYTES = 8 * 1024 * 1024
TRANSACTION_TIMEOUT_MS = 3_000
"""A dead worker's open transaction hides what follows it from readers for this long."""
SESSION_TIMEOUT_MS = 6_000

Config = dict[str, Any]


def connection(bootstrap_servers: str, security: Config | None = None) -> Config:
    """What all clients share. `security`: librdkafka's TLS and SASL settings, paths for secrets."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": "exchange",
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": False,
        "log.connection.close": False,
        "log_level": 2,  # what fails reaches us as an error; the library's own log is for its developers
        **(security or {}),
    }


def producer(base: Config, **settings: Any) -> Producer:  # noqa: ANN401  librdkafka's values
    """An idempotent producer with ``acks=all`` that partitions as Java's does."""
    config = {
        **base,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "message.max.bytes": MAX_RECORD_BYTES,
        "linger.ms": 5,
        "delivery.timeout.ms": 120_000,
    }
    return Producer({**config, **_dotted(settings)})


def transactional_producer(base: Config, transactional_id: str) -> Producer:
    """The hop's producer; its transactions end or are aborted within `TRANSACTION_TIMEOUT_MS`."""
    return producer(
        base,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        delivery_timeout_ms=TRANSACTION_TIMEOUT_MS,
        linger_ms=0,
        queue_buffering_max_messages=200_000,
        queue_buffering_max_kbytes=131_072,
    )


def reader(base: Config, **settings: Any) -> Consumer:  # noqa: ANN401
    """A consumer outside any group: it is assigned partitions and commits nothing."""
    config = {
        **base,
        "group.id": "exchange-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "fetch.message.max.bytes": MAX_RECORD_BYTES,
        "fetch.wait.max.ms": 50,
        "queued.max.messages.kbytes": 32_768,
    }
    return Consumer({**config, **_dotted(settings)})


def member(base: Config, group: str, instance: str) -> Consumer:
    """A member of the hop's group: static, range-assigned, small queues so that urgent records stay near."""
    return reader(
        base,
        group_id=group,
        group_instance_id=instance,
        partition_assignment_strategy="range",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=1_500,
        max_poll_interval_ms=120_000,
        fetch_queue_backoff_ms=2,
        fetch_wait_max_ms=10,
        queued_max_messages_kbytes=16_384,
    )


def _dotted(settings: dict[str, Any]) -> Config:
    return {name.replace("_", "."): value for name, value in settings.items()}


_FENCED = frozenset(
    {
        KafkaError._FATAL,  # a consumer's: its name was taken, and it will read nothing ever again
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)


def error(exc: KafkaException) -> Fenced | Unavailable:
    """Our error for the client's exception; see `error_of`."""
    return error_of(exc.args[0])


def error_of(cause: KafkaError) -> Fenced | Unavailable:
    """Our error for the client's: `Fenced` if a successor took over, else `Unavailable`."""
    if cause.fatal() or cause.code() in _FENCED:
        return Fenced("kafka.fenced", cause.str())
    return Unavailable("kafka.unavailable", cause.str())
