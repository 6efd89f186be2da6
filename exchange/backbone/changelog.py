"""Restoring the duplicate store of a partition, in the one order that is safe.

1. ``committed()`` of every input: it waits for pending transactions (KIP-447's stable offsets), so a zombie
   that already sent its offsets has ended by then; one that did not is fenced by the group's generation.
2. No transaction open over the changelog (`offsets.await_stable`): its markers may arrive after the group's offsets
   do. One that never ends must not be written behind: see `Hop`, and decision 0008.
3. The changelog, from where the last whole sweep began (noted with the committed offsets, so in the transactions
   themselves) to its last stable offset. Nothing can be added behind it: the partition is ours.

Each changelog record carries the input offsets that it covers and how many claims there are; the last one must match
what is committed and what was restored, or the store isn't the one that belongs to these offsets: that is
`InvariantBroken`, never an empty store. Without a note, the changelog is read from its beginning: always right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from exchange.backbone.clients import Config
from exchange.backbone.reading import read_to_end
from exchange.errors import InvariantBroken
from exchange.pipeline.outputs import CHANGELOG, Position
from exchange.pipeline.store import Move, PartitionStore, Restoring
from exchange.pipeline.sweep import Put
from exchange.statements import identify

_NOTE = re.compile(r"whole from ([1-9][0-9]{0,18})")


def note(store: PartitionStore) -> str:
    """What to note with the offsets that are committed along with this store."""
    return f"whole from {store.sweep.whole_from}" if store.sweep.whole_from else ""


def whole_from(notes: Mapping[Position, str], partition: int) -> int:
    """Where a restore of this partition may begin; 0 for the beginning. Of several notes the latest is right.

    Raises: InvariantBroken: what is noted isn't ours.
    """
    found = 0
    for (_, noted), text in notes.items():
        if noted == partition and text:
            match = _NOTE.fullmatch(text)
            if match is None:
                raise InvariantBroken(
                    f"partition {partition}'s offsets bear a note that the hop never writes: {text!r}"
                )
            found = max(found, int(match[1]))
    return found


def restore(base: Config, positions: Mapping[Position, int], starts: Mapping[int, int]) -> dict[int, PartitionStore]:
    """Rebuild the stores of the partitions in `starts`, each from that offset on (see `whole_from`).

    `positions`: what was committed. That was asked before; then comes `await_stable`, then this.

    Raises: InvariantBroken if a store doesn't match them; Unavailable.
    """
    restoring = {partition: Restoring(start) for partition, start in starts.items()}
    covered: dict[Position, int] = {}
    claims: dict[int, int] = {}
    for portion in read_to_end(base, {(CHANGELOG, partition): start or None for partition, start in starts.items()}):
        for read in portion:
            record = identify(read.value).decode(read.value)
            carried = [Put(put["key"], put["value"]) for put in record.get("carried", ())]
            puts = [Put(put["key"], put["value"]) for put in record["puts"]]
            moves = [Move(move["key"], move["index"], move["state"]) for move in record["moves"]]
            restoring[read.partition].add(carried, puts, moves, record["forgets"])
            for cover in record["covers"]:
                covered[cover["topic"], read.partition] = cover["next_offset"]
            claims[read.partition] = record.get("claims", len(restoring[read.partition]))
    for (topic, partition), expected in positions.items():
        found = covered.get((topic, partition), 0)
        if found != expected:
            raise InvariantBroken(f"store of partition {partition} covers {topic} to {found}, committed is {expected}")
    for partition, restored in restoring.items():
        expected = claims.get(partition, 0)
        if len(restored) != expected:
            raise InvariantBroken(f"store of partition {partition} has {len(restored)} claims restored of {expected}")
    return {partition: restored.store() for partition, restored in restoring.items()}
