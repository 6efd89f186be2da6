"""What the exchange's own people did: who, what, when and why, in the topic ``audit.actions``.

Guarantees: when `record` has returned it is kept for ever; whoever acts only after that can't act unrecorded. What is
signed into the directory anyway (grants, suspensions, erasures) isn't said here again. Does not prove who it was: that
is what the session, the operating system or the caller says.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exchange.backbone.clients import Config
from exchange.backbone.durable import Durable, Place, grouped
from exchange.backbone.reading import read_to_end
from exchange.errors import InvariantBroken, Rejected
from exchange.statements import identify, schema

ACTIONS = "audit.actions"
"""The topic: one partition, kept for ever."""

PLACES_MAX = 1_000
"""In one record."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done. `about`: what to or with, small and free of secrets. `id`: 16 random bytes."""

    what: str
    by: str
    reason: str = ""
    seconded_by: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    places: Sequence[Place] = ()
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))


class Actions:
    """Records actions. `topic`: where."""

    def __init__(self, base: Config, topic: str = ACTIONS) -> None:
        self._durable = Durable(base, topic)

    def record(self, action: Action) -> None:
        """Record what is about to be done. Raises: Unavailable: it isn't recorded, so don't do it."""
        for start in range(0, len(action.places) or 1, PLACES_MAX):
            self._durable.append(action.id, encode(action, action.places[start : start + PLACES_MAX]))


def encode(action: Action, places: Sequence[Place]) -> bytes:
    """A record's value (``schemas/action``)."""
    return schema("action").encode(
        {
            "action": action.id,
            "what": action.what,
            "by": action.by,
            "seconded_by": action.seconded_by,
            "reason": action.reason,
            "about": json.dumps(action.about, ensure_ascii=False),
            "at_ms": time.time_ns() // 1_000_000,
            "places": grouped(places),
        }
    )


def decode(value: bytes) -> Action:
    """Read a record of the topic; InvariantBroken if it isn't ours, for only we write there."""
    try:
        found = identify(value)
        if found.name != "action":
            raise InvariantBroken(f"a record of schema {found.name} in {ACTIONS}")
        fields = found.decode(value)
        about = json.loads(fields["about"])
    except (Rejected, ValueError) as exc:
        raise InvariantBroken(f"a record of {ACTIONS} that can't be read: {exc}") from exc
    places = [(one["topic"], one["partition"], offset) for one in fields["places"] for offset in one["offsets"]]
    return Action(
        fields["what"], fields["by"], fields["reason"], fields["seconded_by"], about, places, fields["action"]
    )


def read_actions(base: Config, topic: str = ACTIONS) -> Iterator[tuple[int, Action]]:
    """Everything done so far, with the broker's time (ms), in the order of the topic. Raises: Unavailable."""
    for portion in read_to_end(base, {(topic, 0): None}):
        for read in portion:
            yield read.append_ms, decode(read.value)
