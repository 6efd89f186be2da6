"""Finding a promise, or the lapses of a document, in their topics: by halving, for they are sorted as written.

Guarantees: in each partition the promises go on by trace offset, the lapses by deadline, so a promise is found by its
event's place in the trace, a lapse by its deadline, in log₂(records) reads and without any index to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from exchange.backbone.clients import Config, error_of, reader
from exchange.backbone.offsets import ends
from exchange.backbone.reading import partitions_of, read_to_end, record_of
from exchange.errors import InvariantBroken, Unavailable
from exchange.ledger.promises.deadlines import deadline_of
from exchange.ledger.promises.saying import LAPSES, PROMISES, decode, taken_out
from exchange.statements import Fields, schema

ANSWER_S = 20.0
_PROMISE, _LAPSE = schema("promise"), schema("lapse")


class Found(NamedTuple):
    """A statement of the backbone's. `kind`: ``promise`` or ``lapse``; `record`: it with its signature and path."""

    kind: str
    fields: Fields
    record: bytes


def count(base: Config, topic: str = PROMISES) -> tuple[int, int]:
    """How many promises were given, and about how many submissions. Raises: Unavailable."""
    asking = reader(base)
    try:
        starts: dict[tuple[str, int], int | None] = {(topic, one): None for one in partitions_of(asking, topic)}
    finally:
        asking.close()
    given, about = 0, set[tuple[str, int, int]]()
    for portion in read_to_end(base, starts):
        for read in portion:
            for raw in decode(read.value)["statements"]:
                fields = _PROMISE.decode(raw)
                given += 1
                about.add((fields["topic"], fields["partition"], fields["offset"]))
    return given, len(about)


class PromiseFinder:
    """Looks promises up; `close` it. Not for several threads at once."""

    def __init__(self, base: Config, promises: str = PROMISES, lapses: str = LAPSES) -> None:
        self._promises = promises
        self._lapses = lapses
        self._consumer: Consumer = reader(base, enable_partition_eof=True, fetch_wait_max_ms=10)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def promise(self, partition: int, trace_offset: int, trace_index: int) -> Found | None:
        """The promise of an event of the trace; None before it is given. Raises: Unavailable."""
        for batch in self._since(self._promises, partition, lambda one: bool(one["next"] > trace_offset)):
            for index, raw in enumerate(batch["statements"]):
                if raw.startswith(_PROMISE.prefix):
                    fields = _PROMISE.decode(raw)
                    if (fields["trace_offset"], fields["trace_index"]) == (trace_offset, trace_index):
                        return Found("promise", fields, taken_out(batch, index))
            if batch["next"] > trace_offset:
                raise InvariantBroken(f"no promise among those of trace/{partition}/{trace_offset}")
        return None

    def lapses(self, partition: int, due: int, topic: str, offset: int) -> list[Found]:
        """The lapses of a document that was due on that day (days since 1970), by its submission's place.

        Raises: Unavailable.
        """
        deadline_ms = deadline_of(due)
        found = []
        for batch in self._since(self._lapses, partition, lambda one: bool(one["deadline_ms"] >= deadline_ms)):
            if batch["deadline_ms"] > deadline_ms:
                break
            for index, raw in enumerate(batch["statements"]):
                if raw.startswith(_LAPSE.prefix):
                    fields = _LAPSE.decode(raw)
                    if (fields["topic"], fields["offset"], fields["deadline_ms"]) == (topic, offset, deadline_ms):
                        found.append(Found("lapse", fields, taken_out(batch, index)))
        return found

    def _since(self, topic: str, partition: int, is_there: Callable[[Fields], bool]) -> Iterator[Fields]:
        """The records from the first on of which `is_there` holds, as it does of all that follow."""
        low, high = ends(self._consumer, topic, partition)
        while low < high:
            middle = (low + high) // 2
            offset, batch = next(self._read(topic, partition, middle), (high, None))
            if batch is None or is_there(batch):
                high = middle
            else:
                low = offset + 1
        for _, batch in self._read(topic, partition, low):
            yield batch

    def _read(self, topic: str, partition: int, start: int) -> Iterator[tuple[int, Fields]]:
        """The records from an offset on to the end, each with its offset."""
        self._consumer.assign([TopicPartition(topic, partition, start)])
        while True:
            messages = self._consumer.consume(1, timeout=ANSWER_S)
            if not messages:
                raise Unavailable("kafka.silent", f"{topic}/{partition}: nothing for {ANSWER_S} s")
            failure = messages[0].error()
            if failure is not None:
                if failure.code() == KafkaError._PARTITION_EOF:
                    return
                raise error_of(failure)
            read = record_of(messages[0])
            yield read.offset, decode(read.value)
