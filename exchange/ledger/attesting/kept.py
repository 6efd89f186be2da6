"""What the ledger keeps of others' words about it: stamped checkpoints, and since when it has gone unseen.

A stamped checkpoint is one object, ``stamped/<size>-<seconds>``: the signed note as it was stamped, a zero byte, the
token. All are kept for a day, then the first of each hour, so that evidence of any time finds a stamp near it.
Beside them, in ``attesting.json``: how far witnesses and time-stamps have come, and since when there is more.

As gauges these will be ``exchange_ledger_unwitnessed_age_seconds`` and ``exchange_ledger_unstamped_age_seconds``.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exchange.backbone.objects import Objects
from exchange.errors import InvariantBroken
from exchange.ledger.checkpoint import open_checkpoint
from exchange.ledger.notes import VerifierKey, parse_note
from exchange.ledger.store import CHECKPOINT

STAMPED, STATE = "stamped", "attesting.json"
WITNESSED_KIND, STAMPED_KIND = "witnessed", "stamped"
ALL_FOR_S, THEN_EVERY_S = 86_400, 3_600
LOOKED_AT_MAX = 8
"""Stamped checkpoints that are looked at for one that is cosigned as well."""

_END = b"\0"


class Limits(NamedTuple):
    """How long the ledger may go unseen before it is said loudly."""

    unwitnessed_s: float = 300.0
    unstamped_s: float = 600.0


class Ages(NamedTuple):
    """Since when there are events in the signed tree that no witness has seen, and that no time-stamp covers.

    Seconds; 0: all is seen. None: nobody ever attested this ledger.
    """

    unwitnessed_s: float | None
    unstamped_s: float | None

    def beyond(self, limits: Limits) -> list[str]:
        """The codes of what is beyond its limit."""
        codes = ("ledger.unwitnessed", "ledger.unstamped")
        return [code for code, age, most in zip(codes, self, limits, strict=True) if age is None or age > most]


@dataclass(slots=True)
class Progress:
    """How far one kind of attesting has come. `size`: leaves attested; `since_s`: when more was first noticed."""

    size: int = 0
    since_s: float | None = None


class StampedCheckpoint(NamedTuple):
    """A checkpoint's note as it was stamped, and the token."""

    note: bytes
    token: bytes


def keep_stamp(folder: Objects, size: int, time_s: int, stamped: StampedCheckpoint) -> None:
    """Keep a stamped checkpoint of `size` leaves; those that are kept no longer go."""
    folder.replace(f"{STAMPED}/{size:020d}-{time_s}", stamped.note + _END + stamped.token)
    kept_hour = -1
    for name in folder.names(STAMPED):
        at_s = int(name.partition("-")[2])
        hour = at_s // THEN_EVERY_S
        if at_s < time_s - ALL_FOR_S and hour == kept_hour:
            folder.remove(f"{STAMPED}/{name}")
        kept_hour = hour


def kept_stamp(folder: Objects, size: int) -> StampedCheckpoint | None:
    """The earliest stamped checkpoint of a tree of `size` leaves or more, preferably a cosigned one; None without."""
    names = folder.names(STAMPED)
    start = bisect_left(names, f"{size:020d}")
    first = None
    for name in names[start : start + LOOKED_AT_MAX]:
        data = folder.read(f"{STAMPED}/{name}")
        if data is None:
            continue
        note, _, token = data.partition(_END)
        found = StampedCheckpoint(note, token)
        if len(parse_note(note).lines) > 1:
            return found
        first = first or found
    return first


def read_progress(folder: Objects) -> dict[str, Progress]:
    """How far each kind has come; empty before the first time. InvariantBroken if it can't be read."""
    data = folder.read(STATE)
    if data is None:
        return {}
    try:
        return {kind: Progress(int(one["size"]), one["since_s"]) for kind, one in json.loads(data).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InvariantBroken(f"{STATE} of the ledger can't be read: {exc!r}") from exc


def write_progress(folder: Objects, progress: Mapping[str, Progress]) -> None:
    """Remember it."""
    content = {kind: {"size": one.size, "since_s": one.since_s} for kind, one in progress.items()}
    folder.replace(STATE, json.dumps(content).encode())


def ages(folder: Objects, key: VerifierKey, now_s: float) -> Ages:
    """How long the ledger has gone unseen, as of `now_s` (POSIX seconds, of the machine that attests)."""
    data = folder.read(CHECKPOINT)
    size = 0 if data is None else open_checkpoint(data, key).size
    progress = read_progress(folder)

    def age(kind: str) -> float | None:
        one = progress.get(kind)
        if one is None:
            return None if size else 0.0
        if one.size >= size:
            return 0.0
        # Not noticed yet, by whoever notices it within a second: or that one is dead.
        return folder.age_s(STATE) if one.since_s is None else max(0.0, now_s - one.since_s)

    return Ages(age(WITNESSED_KIND), age(STAMPED_KIND))
