"""What the hop needs to know about a kind of statement, and nothing else.

A new kind is a schema folder, a module beside this one that fills in a `Kind`, and a line in
``statements/__init__.py``; the gate and the hop don't change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from exchange.statements.codec import Fields


class Topic:
    """The submission topics. All have the same number of partitions, so one worker sees all of a thread."""

    DOCUMENTS = "documents"
    DOCUMENTS_URGENT = "documents.urgent"
    STATUSES = "statuses"
    REPORTS = "reports"


SUBMISSION_TOPICS = (Topic.DOCUMENTS_URGENT, Topic.DOCUMENTS, Topic.REPORTS, Topic.STATUSES)
"""In the order in which the hop serves them."""


class Route(Enum):
    """How the hop finds the recipients of an accepted statement."""

    ADDRESSEES = "addressees"
    """Those it names; the statement claims its id and every recipient gets a copy with a state."""
    SUPERIOR = "superior"
    """The one it names, or the sender's parent; else like ADDRESSEES."""
    COPY = "copy"
    """It says something about one recipient's copy of an earlier statement; the other side is told."""


class AttachmentRef(NamedTuple):
    """What the gate needs of an attachment: which bytes, and how many."""

    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of statement. Every callable is pure and takes the decoded fields.

    `topic`: the submission topic it belongs in. `key`: the Kafka key, equal for all of a thread.
    `check`: the rules of the kind that need no directory; raises Rejected. `leader`: directory id of the
    leader who must have signed too, or None. `addressees`: codes and @groups. `attachments`: what must be
    in the object store.
    """

    name: str
    route: Route
    topic: Callable[[Fields], str]
    key: Callable[[Fields], str]
    check: Callable[[Fields], None]
    leader: Callable[[Fields], str | None]
    addressees: Callable[[Fields], list[str]]
    attachments: Callable[[Fields], list[AttachmentRef]]


@dataclass(slots=True)
class Statement:
    """A decoded statement, verified or not. `raw`: the bytes as signed; `digest`: their SHA-256."""

    kind: Kind
    fields: Fields
    raw: bytes
    digest: bytes

    @property
    def sender(self) -> str:
        """The agency that claims to say it."""
        sender: str = self.fields["sender"]
        return sender

    @property
    def id(self) -> str:
        """The sender's own id for it."""
        statement_id: str = self.fields["id"]
        return statement_id


def own_key(fields: Fields) -> str:
    """The key of a statement that begins a thread: ``<sender>/<id>``."""
    return f"{fields['sender']}/{fields['id']}"


def nothing(_: Fields) -> list[Any]:
    """For kinds without addressees or attachments."""
    return []


def nobody(_: Fields) -> None:
    """For kinds that no leader signs."""
    return
