"""Deltas that were passed over on the way to us, read again from their topic.

Guarantees: what the log holds is found, so that a gap is only told of where the log has one. Reads the partition from
its oldest record, some seconds a million; that is the exception.
"""

from __future__ import annotations

from exchange.backbone.clients import Config
from exchange.backbone.reading import read_to_end
from exchange.statements import Fields
from exchange.views.throughput.packing import delta_of
from exchange.views.throughput.store import Source


def skipped(base: Config, topic: str, source: Source, next_offset: int, before: int) -> list[Fields]:
    """The deltas of `source` at or beyond its offset `next_offset` that lie before `before` in the topic, in order.

    Raises: Unavailable.
    """
    found: list[Fields] = []
    for portion in read_to_end(base, {(topic, source[1]): None}):
        for read in portion:
            if read.offset >= before:
                return found
            delta = delta_of(read.value, read.append_ms)
            if (delta["topic"], delta["partition"]) == source and delta["next_offset"] > next_offset:
                found.append(delta)
    return found
