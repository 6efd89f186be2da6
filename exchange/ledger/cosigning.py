"""The log's side of witnessing: ask for a cosignature, and keep the checkpoint that bears it.

Guarantees: what is kept is the log's own checkpoint with lines of witnesses under it, verified where the witness's
key is known; a witness that stalls leaves the last cosigned checkpoint in place, whose age is the gauge.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.backbone.objects import Objects
from exchange.errors import Rejected
from exchange.ledger.checkpoint import Checkpoint, cosignatures, open_checkpoint
from exchange.ledger.notes import Line, VerifierKey, parse_note
from exchange.ledger.store import CHECKPOINT, tile_reader
from exchange.ledger.tree import TileTree
from exchange.ledger.witness import Request

COSIGNED = "cosigned"
"""The last checkpoint that a witness has cosigned."""


def request(folder: Objects, key: VerifierKey, old: int, data: bytes | None = None) -> Request:
    """What to ask a witness that has seen the tree of `old` leaves. `data`: a checkpoint, else the newest.

    Raises: Rejected ``ledger.empty``: nothing is signed yet; ``ledger.size``: it has seen more than there is.
    """
    data = folder.read(CHECKPOINT) if data is None else data
    if data is None:
        raise Rejected("ledger.empty", "no checkpoint is signed yet")
    size = open_checkpoint(data, key).size
    proof = TileTree(size, tile_reader(folder)).consistency(old) if old else []
    return Request(old, proof, data)


def keep(folder: Objects, key: VerifierKey, asked: bytes, lines: Sequence[Line], witness: VerifierKey) -> Checkpoint:
    """Keep the checkpoint that was asked about, with a witness's answer under it.

    Raises: Rejected ``checkpoint.cosignature``: the answer isn't this witness's word about this checkpoint.
    """
    found = open_checkpoint(asked, key)
    before = folder.read(COSIGNED)
    if before is not None and parse_note(before).text == found.text:
        asked = before
    added = "".join(line.encode() for line in lines if line not in parse_note(asked).lines)
    cosigned = asked + added.encode()
    if all(one.witness != witness.name for one in cosignatures(cosigned, [witness])):
        raise Rejected("checkpoint.cosignature", f"none of {witness.name}")
    folder.replace(COSIGNED, cosigned)
    return found


def newest(folder: Objects, key: VerifierKey, size: int) -> bytes | None:
    """The checkpoint to show for a tree of at least `size` leaves: a cosigned one if it goes so far, else the last.

    None if none goes so far yet.
    """
    for name in (COSIGNED, CHECKPOINT):
        data = folder.read(name)
        if data is not None and open_checkpoint(data, key).size >= size:
            return data
    return None
