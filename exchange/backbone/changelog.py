"""Restoring the duplicate store of a partition, in the one order that is safe.

1. ``committed()`` of every input: it waits for pending transactions (KIP-447's stable offsets), so a zombie
   that already sent its offsets has ended by then; one that did not is fenced by the group's generation.
2. No transaction open over the changelog (`offsets.await_stable`): its markers may arrive after the group's offsets
   do. One that never ends must not be written behind: see `Hop`, and decision 0008.
3. The changelog, read to its last stable offset. Nothing can be added behind it: the partition is ours.

Each changelog record carries the input offsets that it covers; the last one must match what is committed, or
the store isn't the one that belongs to these offsets: that is `InvariantBroken`, never an empty store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exchange.backbone.clients import Config
from exchange.backbone.reading import read_to_end
from exchange.errors import InvariantBroken
from exchange.pipeline.outputs import CHANGELOG, Position
from exchange.pipeline.store import Move, PartitionStore, Put
from exchange.statements import schema


def restore(base: Config, positions: Mapping[Position, int], partitions: Sequence[int]) -> dict[int, PartitionStore]:
    """Rebuild the stores of these partitions; `positions` is what `committed` answered, asked before; then comes
    `await_stable`, then this.

    Raises: InvariantBroken if a store doesn't match them; Unavailable.
    """
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
    for (topic, partition), expected in positions.items():
        found = covered.get((topic, partition), 0)
        if found != expected:
            raise InvariantBroken(f"store of partition {partition} covers {topic} to {found}, committed is {expected}")
    return stores
