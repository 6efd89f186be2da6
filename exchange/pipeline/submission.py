"""A submission: a record on its way in, as the broker holds it, and the partition that its key asks for."""

from __future__ import annotations

from struct import unpack_from
from typing import NamedTuple

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


class Submission(NamedTuple):
    """One record of a submission topic. `append_ms`: the broker's clock (LogAppendTime) as it stands in the log;
    it can step back with the clock or a new leader, and counts as it stands (decision 0009).
    `traceparent`: W3C, or None."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes
    traceparent: bytes | None = None

    @property
    def place(self) -> str:
        """Its coordinates as people write them: ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 of a key (``org.apache.kafka.common.utils.Utils.murmur2``), unsigned."""
    length = len(data)
    hashed = (_SEED ^ length) & _MASK
    words = length >> 2
    for word in unpack_from(f"<{words}I", data):
        k = word * _M & _MASK
        hashed = (hashed * _M ^ (k ^ k >> 24) * _M) & _MASK
    tail = data[words << 2 :]
    if tail:
        hashed = (hashed ^ int.from_bytes(tail, "little")) * _M & _MASK
    hashed = (hashed ^ hashed >> 13) * _M & _MASK
    return hashed ^ hashed >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Java's, aiokafka's and librdkafka's ``murmur2_random`` partitioners choose."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
