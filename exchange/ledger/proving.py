"""What a ledger shows to whoever asks: that an event is in its tree, and that it goes on as it was.

Guarantees: proofs are under signed checkpoints only, and from the files as they are; reads only, beside the writer.
"""

from __future__ import annotations

from dataclasses import dataclass

from exchange.backbone.clients import Config
from exchange.backbone.objects import Objects
from exchange.backbone.reading import read_one
from exchange.errors import Rejected, Unavailable
from exchange.ledger import places
from exchange.ledger.checkpoint import open_checkpoint
from exchange.ledger.leaves import leaves
from exchange.ledger.notes import VerifierKey
from exchange.ledger.places import NO_SALT
from exchange.ledger.store import CHECKPOINT, tile_reader
from exchange.ledger.tree import TileTree
from exchange.pipeline.books import TRACE


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An event in the tree. `leaf`: ``schemas/ledger_leaf``; the log's entry is SHA-256(salt ‖ leaf)."""

    leaf: bytes
    salt: bytes
    index: int
    size: int
    path: list[bytes]
    checkpoint: bytes


def inclusion(
    base: Config, folder: Objects, key: VerifierKey, partition: int, offset: int, event: int
) -> Inclusion | None:
    """The proof for an event of the trace under the newest checkpoint; None while it isn't under one.

    Raises: Unavailable; Rejected ``evidence.gone``, ``evidence.erased``.
    """
    checkpoint = folder.read(CHECKPOINT)
    if checkpoint is None:
        return None
    size = open_checkpoint(checkpoint, key).size
    found = places.find(folder, size, partition, offset, event)
    if found is None:
        return None
    index, place = found
    if place.salt == NO_SALT:
        raise Rejected("evidence.erased", "the salt of the event is gone, so nothing can show what it said")
    read = read_one(base, TRACE, partition, offset)
    if read is None:
        raise Rejected("evidence.gone", f"{TRACE}/{partition}/{offset}")
    path = TileTree(size, tile_reader(folder)).inclusion(index)
    return Inclusion(leaves(partition, offset, read.value)[event], place.salt, index, size, path, checkpoint)


def consistency(folder: Objects, key: VerifierKey, before: int, after: int) -> list[bytes]:
    """The proof that the tree of `after` leaves begins with that of `before`.

    Raises: Rejected ``ledger.size``: nothing so large is signed, or nothing is to be proved; Unavailable.
    """
    checkpoint = folder.read(CHECKPOINT)
    if checkpoint is None:
        raise Unavailable("ledger.behind", "no checkpoint is signed yet")
    size = open_checkpoint(checkpoint, key).size
    if not 0 < before <= after <= size:
        raise Rejected("ledger.size", f"{before} to {after} of {size}")
    return TileTree(after, tile_reader(folder)).consistency(before)
