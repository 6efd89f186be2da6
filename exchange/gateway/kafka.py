"""How the gateway's asynchronous Kafka clients are set up: aiokafka's unsafe defaults replaced, once, here.

aiokafka's defaults are auto-commit, ``latest``, ``read_uncommitted``, ``acks=1`` and no idempotence. The connection
comes from the settings that all clients of ours share, which are librdkafka's words; one that can't be carried over
is `Misconfigured`, never ignored.
"""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from exchange.backbone.clients import MAX_RECORD_BYTES, Config
from exchange.errors import Misconfigured

REQUEST_TIMEOUT_MS = 20_000
BATCH_BYTES = 256 * 1024
LINGER_MS = 2

_PLAIN = {"bootstrap.servers": "bootstrap_servers", "client.id": "client_id", "security.protocol": "security_protocol"}
_SASL = {
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
}
_TLS = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password"}
_IRRELEVANT = {"socket.keepalive.enable", "allow.auto.create.topics", "log.connection.close", "log_level"}


def connection(base: Config) -> dict[str, Any]:
    """The shared settings in aiokafka's words; Misconfigured names each that has none."""
    unknown = set(base) - set(_PLAIN) - set(_SASL) - _TLS - _IRRELEVANT
    if unknown:
        raise Misconfigured([f"the gateway can't use the Kafka setting {name}" for name in sorted(unknown)])
    settings: dict[str, Any] = {
        word: base[name] for name, word in {**_PLAIN, **_SASL}.items() if base.get(name) is not None
    }
    settings["request_timeout_ms"] = REQUEST_TIMEOUT_MS
    if "SSL" in str(settings.get("security_protocol", "")).upper():
        context = ssl.create_default_context(cafile=base.get("ssl.ca.location"))
        if base.get("ssl.certificate.location"):
            context.load_cert_chain(
                base["ssl.certificate.location"], base.get("ssl.key.location"), base.get("ssl.key.password")
            )
        settings["ssl_context"] = context
    return settings


def producer(base: Config) -> AIOKafkaProducer:
    """An idempotent producer with ``acks=all``; the caller chooses partitions. Not started."""
    return AIOKafkaProducer(
        **connection(base),
        acks="all",
        enable_idempotence=True,
        compression_type=None,
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=1024 * 1024,
    )


def consumer(base: Config) -> AIOKafkaConsumer:
    """A consumer outside any group that sees committed records only and commits nothing. Not started."""
    return AIOKafkaConsumer(
        **connection(base),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        check_crcs=True,
        fetch_max_wait_ms=500,
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
        fetch_max_bytes=2 * MAX_RECORD_BYTES,
    )
