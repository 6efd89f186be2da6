"""Putting signed records onto the submission topics.

Guarantees: a record is reported as taken only once the broker has it on all in-sync replicas; key, topic and
headers come from the signed fields; the partitioner is Java's, whoever writes. CloudEvents 1.0 in binary mode
rides in the headers, so that other tools can read the log.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from exchange.backbone.clients import Config, producer
from exchange.errors import Unavailable
from exchange.statements import KINDS, Fields

FLUSH_TIMEOUT_S = 130.0
ANY_PARTITION = -1
"""The partitioner chooses."""


class Outgoing(NamedTuple):
    """A signed record and the decoded fields of its statement."""

    kind: str
    fields: Fields
    record: bytes


class Taken(NamedTuple):
    """The broker's receipt."""

    id: str
    topic: str
    partition: int
    offset: int
    append_ms: int


Headers = list[tuple[str, str | bytes | None]]


def headers(outgoing: Outgoing, traceparent: str | None = None) -> Headers:
    """CloudEvents attributes and a W3C trace context, a fresh one unless it is given."""
    return [
        ("ce_specversion", "1.0"),
        ("ce_type", f"vn.exchange.{outgoing.kind}.v1"),
        ("ce_source", f"/agencies/{outgoing.fields['sender']}"),
        ("ce_id", outgoing.fields["id"]),
        ("content-type", "application/avro"),
        ("traceparent", traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"),
    ]


class Submitting:
    """A producer for submissions. Not for several threads at once."""

    def __init__(self, base: Config, **settings: Any) -> None:  # noqa: ANN401  librdkafka's values
        self._producer: Producer = producer(base, **settings)
        self._failures: list[str] = []

    def submit(self, outgoing: Iterable[Outgoing], taken: Callable[[Taken], None] | None = None) -> None:
        """Send all and wait until the broker has them; `taken` is called once for each, in any order.

        Raises: Unavailable ``kafka.unavailable``; some may have been taken: send the same bytes again, the hop
            recognises them.
        """
        for one in outgoing:
            self.send(one, taken)
        self.flush()

    def send(self, one: Outgoing, taken: Callable[[Taken], None] | None = None) -> None:
        """Queue one record; call `flush` in the end."""
        kind = KINDS[one.kind]
        key = kind.key(one.fields).encode()
        statement_id = one.fields["id"]

        def arrived(failure: KafkaError | None, message: Message) -> None:
            if failure is not None:
                self._failures.append(f"{statement_id}: {failure.str()}")
            elif taken is not None:
                taken(_taken(statement_id, message))

        self._produce(kind.topic(one.fields), key, one.record, None, headers(one), arrived)

    def send_raw(self, topic: str, key: bytes | None, value: bytes, partition: int | None = None) -> None:
        """Queue any bytes, whatever they are: for tests and simulations of bad input."""

        def arrived(failure: KafkaError | None, _: Message) -> None:
            if failure is not None:
                self._failures.append(failure.str())

        self._produce(topic, key, value, partition, None, arrived)

    def _produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        partition: int | None,
        with_headers: Headers | None,
        arrived: Callable[[KafkaError | None, Message], None],
    ) -> None:
        while True:
            try:
                place = ANY_PARTITION if partition is None else partition
                self._producer.produce(topic, value, key, place, on_delivery=arrived, headers=with_headers)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything queued is taken; Unavailable if anything was not."""
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        failures, self._failures = self._failures, []
        if left or failures:
            raise Unavailable("kafka.unavailable", failures[0] if failures else f"{left} records not taken")


def _taken(statement_id: str, message: Message) -> Taken:
    return Taken(
        statement_id,
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
    )
