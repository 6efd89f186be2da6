"""Restoring the duplicate store of a partition, in the one order that is safe.

1. ``committed()`` of every input: it waits for pending transactions (KIP-447's stable offsets), so a zombie
   that already sent its offsets has ended by then; one that did not is fenced by the group's generation.
2. The changelog, read to its last stable offset. Nothing can be added behind it: the partition is ours. A group's
   offsets can be answered while the markers of the same transaction are still on their way to its outputs; so if the
   store doesn't reach them yet, wait until no transaction is open over the changelog, and read once more.

Each changelog record carries the input offsets that it covers; the last one must match what is committed, or
the store isn't the one that belongs to these offsets: that is `InvariantBroken`, never an empty store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exchange.backbone.clients import Config
from exchange.backbone.offsets import await_stable
from exchange.backbone.reading import read_to_end
from exchange.errors import InvariantBroken
from exchange.pipeline.outputs import CHANGELOG, Position
from exchange.pipeline.store import Move, PartitionStore, Put
from exchange.statements import schema


def restore(base: Config, positions: Mapping[Position, int], partitions: Sequence[int]) -> dict[int, PartitionStore]:
    """Rebuild the stores of these partitions; `positions` is what `committed` answered, asked before.

    Raises: InvariantBroken if a store doesn't match them; Unavailable.
    """
    stores, covered = _replay(base, partitions)
    if _differing(covered, positions):
        await_stable(base, [(CHANGELOG, partition) for partition in partitions])
        stores, covered = _replay(base, partitions)
    for topic, partition in _differing(covered, positions):
        found, expected = covered.get((topic, partition), 0), positions[topic, partition]
        raise InvariantBroken(f"store of partition {partition} covers {topic} to {found}, committed is {expected}")
    return stores


def _replay(base: Config, partitions: Sequence[int]) -> tuple[dict[int, PartitionStore], dict[Position, int]]:
    """The stores as the changelog has them, and the next offset of every input that they cover."""
    stores = {partition: PartitionStore() for partition in partitions}
    covered: dict[Position, int] = {}
    for portion in read_to_end(base, {(CHANGELOG, partition): None for partition in partitions}):
        for read in portion:
            record = schema("changelog").decode(read.value)
            puts = [Put(put["key"], put["value"]) for put in record["puts"]]
            moves = [Move(move["key"], move["index"], move["state"]) for move in record["moves"]]
            stores[read.partition].restore(puts, moves, record["forgets"])
            for cover in record["covers"]:
                covered[cover["topic"], read.partition] = cover["next_offset"]
    return stores, covered


def _differing(covered: Mapping[Position, int], positions: Mapping[Position, int]) -> list[Position]:
    return [position for position, expected in positions.items() if covered.get(position, 0) != expected]
