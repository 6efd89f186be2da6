"""Destroying salts: asked for by whoever carries out an erasure, done by the ledger's writer alone.

Guarantees: a request is durable once `ask_to_forget` returns, and goes only when all its salts are overwritten; doing
it again changes nothing. The tree stays as it is: its leaves and proofs go on verifying, and nobody can show any more
what the leaves say. The writer does it, for it holds the newest places in memory and would write them back.

Layout: ``forget/<name>``: JSON, a list of [partition, offset, event] of the trace.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from exchange.backbone.objects import Objects
from exchange.errors import InvariantBroken

FOLDER = "forget"


class Forgotten(NamedTuple):
    """An event, by its place in the trace."""

    partition: int
    offset: int
    event: int


def ask_to_forget(ledger: Objects, name: str, events: Sequence[Forgotten]) -> None:
    """Ask for the salts of these events to be destroyed."""
    ledger.replace(f"{FOLDER}/{name}", json.dumps([list(event) for event in events]).encode())


def asked(ledger: Objects) -> list[tuple[str, list[Forgotten]]]:
    """The requests that are open, by name."""
    found = []
    for name in ledger.names(FOLDER):
        data = ledger.read(f"{FOLDER}/{name}")
        if data is None:
            continue
        try:
            found.append((name, [Forgotten(*map(int, event)) for event in json.loads(data)]))
        except (ValueError, TypeError) as exc:
            raise InvariantBroken(f"a request to forget that can't be read: {name}: {exc}") from exc
    return found


def done(ledger: Objects, name: str) -> None:
    """Take a request away: it is served."""
    ledger.remove(f"{FOLDER}/{name}")
