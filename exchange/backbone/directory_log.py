"""The directory as a process holds it: read from its topic, each statement verified with the registrar's key.

Guarantees: the order is the topic's; a statement that doesn't verify stops the reader, for nobody but the
registrar may write there. Offsets are those of the next record, as everywhere.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from exchange.agencies.directory import Directory
from exchange.agencies.entries import Entry
from exchange.backbone.clients import Config, error, producer, reader
from exchange.backbone.reading import Read, read_to_end, record_of
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.signatures import PublicKey, SigningKey, open_signed, sign_record
from exchange.statements.directory import ENTRIES_PER_STATEMENT, directory_statement, entries_of

TOPIC = "directory"
ANSWER_TIMEOUT_S = 30.0


class DirectoryLog:
    """A directory that follows its topic. Made at the topic's end; `poll` often, in one thread.

    Raises: Unavailable when the topic can't be read; InvariantBroken for a statement that isn't the registrar's.
    """

    def __init__(self, base: Config, registrar: PublicKey) -> None:
        self.directory = Directory()
        self._registrar = registrar
        for portion in read_to_end(base, {(TOPIC, 0): None}):
            self._apply(portion)
        self._consumer: Consumer = reader(base, fetch_wait_max_ms=100)
        self._consumer.assign([TopicPartition(TOPIC, 0, self.directory.next_offset)])

    def poll(self, wait_s: float = 0.0) -> bool:
        """Apply what has arrived, or arrives within `wait_s`; tells whether anything did."""
        messages = self._consumer.consume(500, timeout=wait_s)
        for message in messages:
            failure = message.error()
            if failure is not None:
                raise Unavailable("directory.unreachable", str(failure))
        self._apply([record_of(message) for message in messages])
        return bool(messages)

    def catch_up(self, timeout_s: float = 5.0) -> bool:
        """Ask the broker where the topic ends now and read to there; tells whether anything was missing.

        Raises: Unavailable ``directory.unreachable`` if that takes longer than `timeout_s`.
        """
        try:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=timeout_s)
        except KafkaException as exc:
            raise error(exc) from exc
        before, deadline = self.directory.next_offset, time.monotonic() + timeout_s
        while self.directory.next_offset < end:
            if time.monotonic() > deadline:
                raise Unavailable("directory.unreachable", f"at {self.directory.next_offset} of {end}")
            self.poll(0.1)
        return self.directory.next_offset > before

    def close(self) -> None:
        """Leave the topic."""
        self._consumer.close()

    def _apply(self, records: list[Read]) -> None:
        for record in records:
            self.directory.apply(record.offset, self._open(record))

    def _open(self, record: Read) -> list[Entry]:
        try:
            return entries_of(open_signed(record.value, "directory", self._registrar))
        except Rejected as exc:
            raise InvariantBroken(f"directory record {record.offset} isn't the registrar's: {exc}") from exc


def append(base: Config, registrar: str, key: SigningKey, entries: list[Entry], now_ms: int) -> int:
    """Sign entries as the registrar and append them; returns how many statements it took.

    Raises: Unavailable if the broker doesn't take all of them.
    """
    out: Producer = producer(base)
    failures: list[str] = []

    def arrived(failure: object, _: Message) -> None:
        if failure is not None:
            failures.append(str(failure))

    statements = 0
    for start in range(0, len(entries), ENTRIES_PER_STATEMENT):
        portion = entries[start : start + ENTRIES_PER_STATEMENT]
        raw = directory_statement(f"{now_ms}-{start}", registrar, now_ms, portion)
        out.produce(TOPIC, sign_record(raw, [key]), partition=0, on_delivery=arrived)
        statements += 1
    left = out.flush(ANSWER_TIMEOUT_S)
    if left or failures:
        raise Unavailable("directory.unreachable", failures[0] if failures else f"{left} statements not taken")
    return statements
