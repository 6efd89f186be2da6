"""Same key, same partition, whoever writes."""

from __future__ import annotations

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from exchange.pipeline.submission import murmur2, partition_of


@given(st.binary(max_size=200))
def test_murmur2_is_kafkas(key: bytes) -> None:
    assert murmur2(key) == reference(key) & 0xFFFFFFFF


def test_a_known_key() -> None:
    """From Kafka's own test of ``Utils.murmur2``: "21" hashes to -973932308."""
    assert murmur2(b"21") == -973932308 & 0xFFFFFFFF
    assert 0 <= partition_of(b"H26/1", 48) < 48
