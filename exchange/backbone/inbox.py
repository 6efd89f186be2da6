"""Reading an agency's inbox, and verifying at the recipient what the gate verified before.

Guarantees: every delivery is verified again, by the directory offset and append time that the hop decided by,
so a recipient needs to trust nobody in between; one that doesn't verify raises `InvariantBroken`, for the hop
delivers verified statements only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from exchange.agencies.entries import Agency
from exchange.backbone.clients import Config, error_of, reader
from exchange.backbone.reading import Read, read_to_end, record_of
from exchange.errors import InvariantBroken, Rejected
from exchange.pipeline.routing import INBOX_TOPICS, inbox_partition
from exchange.signatures import PublicKey, Trust, admit, decode_record, open_signed
from exchange.statements import Fields, identify, schema

TrustAt = Callable[[int], Trust]
"""The trust as of a directory offset."""


@dataclass(frozen=True, slots=True)
class Received:
    """One delivery, verified. `inbox_ms`: when it became part of the inbox; `append_ms`: when it was submitted.

    `kind`: ``document``, ``status``, ``report`` or ``notice`` (the backbone's own word). `position`: the inbox
    offset after it.
    """

    kind: str
    fields: Fields
    thread: str
    raw: bytes
    topic: str
    partition: int
    offset: int
    append_ms: int
    inbox_ms: int
    directory_offset: int
    position: int


class Inbox:
    """The inbox of one agency: its partition of its level's topic, read for its own deliveries."""

    def __init__(self, base: Config, agency: Agency, partitions: int) -> None:
        self.agency = agency
        self._base = base
        self._topic = INBOX_TOPICS[agency.level]
        self._partition = inbox_partition(agency.code, partitions)

    def read(self, opener: Opener, start: int | None = None) -> Iterator[Received]:
        """Everything from an inbox offset (None: the oldest kept) to the end as it is now."""
        for portion in read_to_end(self._base, {(self._topic, self._partition): start}):
            for read in portion:
                received = opener.open(read, self.agency.code)
                if received is not None:
                    yield received

    def follow(self, opener: Opener, start: int | None, stopped: Callable[[], bool]) -> Iterator[Received]:
        """What arrives from an inbox offset on, until `stopped`."""
        consumer = reader(self._base, auto_offset_reset="earliest")
        try:
            consumer.assign(
                [TopicPartition(self._topic, self._partition, OFFSET_BEGINNING if start is None else start)]
            )
            while not stopped():
                for message in consumer.consume(500, timeout=0.2):
                    failure = message.error()
                    if failure is not None:
                        raise error_of(failure)
                    received = opener.open(record_of(message), self.agency.code)
                    if received is not None:
                        yield received
        finally:
            consumer.close()


class Opener:
    """Opens and verifies deliveries. `backbone`: the key that notices are signed with."""

    def __init__(self, trust_at: TrustAt, backbone: PublicKey) -> None:
        self._trust_at = trust_at
        self._backbone = backbone

    def open(self, read: Read, recipient: str) -> Received | None:
        """The delivery in an inbox record if it is the recipient's, else None.

        Raises: InvariantBroken if it doesn't verify.
        """
        delivery = schema("delivery").decode(read.value)
        if recipient not in delivery["recipients"]:
            return None
        record: bytes = delivery["record"]
        try:
            raw: bytes = decode_record(record)["statement"]
            if identify(raw).name == "notice":
                kind, fields, thread = "notice", open_signed(record, "notice", self._backbone), ""
            else:
                verified = admit(
                    record, delivery["append_ms"], self._trust_at(delivery["directory_offset"]), storage_keys=None
                )
                statement = verified.statement
                kind, fields = statement.kind.name, statement.fields
                thread = statement.kind.key(fields)
        except Rejected as exc:
            where = f"{read.topic}/{read.partition}/{read.offset}"
            raise InvariantBroken(f"the delivery at {where} doesn't verify: {exc}") from exc
        return Received(
            kind, fields, thread, raw, delivery["topic"], delivery["partition"], delivery["offset"],
            delivery["append_ms"], read.append_ms, delivery["directory_offset"], read.offset + 1,
        )  # fmt: skip
