"""The audit of the audit: that somebody looked, who, at what, when and why, in the topic ``audit.accesses``.

Guarantees: when `record` has returned, the broker has it on all in-sync replicas, and it is kept for ever; whoever
shows an answer only after that can't show one that isn't recorded. Does not prove who it was: that is what the
operating system or the caller says.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from exchange.backbone.clients import Config
from exchange.backbone.durable import Durable, Place, grouped
from exchange.errors import InvariantBroken, Rejected
from exchange.statements import Fields, identify, schema

ACCESSES = "audit.accesses"
"""The topic: one partition, kept for ever."""

Action = Literal["search", "trace", "export"]


@dataclass(frozen=True, slots=True)
class Access:
    """One look into the trace. `asked`: a search as JSON, or an id. `id`: 16 random bytes."""

    action: Action
    by: str
    reason: str
    asked: str
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))


class Accesses:
    """Records accesses. `topic`: where."""

    def __init__(self, base: Config, topic: str = ACCESSES) -> None:
        self._durable = Durable(base, topic)

    def record(self, access: Access, shown: Iterable[Place]) -> None:
        """Record that these submissions are about to be shown; of an export, page by page under one access.

        Raises: Unavailable: it isn't recorded (or nobody knows), so show nothing.
        """
        self._durable.append(access.id, encode(access, shown))


def encode(access: Access, shown: Iterable[Place]) -> bytes:
    """The record's value (``schemas/access``)."""
    return schema("access").encode(
        {
            "access": access.id,
            "action": access.action,
            "by": access.by,
            "reason": access.reason,
            "asked": access.asked,
            "asked_ms": time.time_ns() // 1_000_000,
            "shown": grouped(shown),
        }
    )


def decode(value: bytes) -> Fields:
    """Read a record of the topic; InvariantBroken if it isn't ours, for only we write there."""
    try:
        found = identify(value)
        if found.name != "access":
            raise InvariantBroken(f"a record of schema {found.name} in {ACCESSES}")
        return found.decode(value)
    except Rejected as exc:
        raise InvariantBroken(f"a record of {ACCESSES} that can't be read: {exc}") from exc
