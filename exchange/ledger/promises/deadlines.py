"""The deadlines of one partition of the trace: which copies of documents that are due still wait for a receipt.

A deadline is the end, in Vietnam, of the day that a document is due (``due``). A receipt is any accepted status that
the recipient itself says about its copy (all but 13). Times are the broker's, as they stand at the records (decision
0009), so a receipt counts if it was appended before the deadline, whenever we read it.

Guarantees: pure; what `take` and `lapses` return, written to a compacted topic and given to `restore`, makes the same
deadlines again. Holds a document once and a name for each recipient that hasn't answered: see docs/promises.md for
bytes. A deadline that had passed when the document came is none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from exchange.errors import InvariantBroken
from exchange.statements import Fields, Topic, schema

DAY_MS, ZONE_MS = 86_400_000, 7 * 3_600_000
KEY_BYTES = 16
"""Of a document; a copy's key is its document's, then the recipient's code."""

STILL = b"\x01"
"""The value of a copy that still waits."""

_AWAITED, _LAPSE = schema("awaited"), schema("lapse")

Change = tuple[bytes, bytes | None]
"""A key and its value in the compacted topic; None: it is over."""


class Lapse(NamedTuple):
    """A copy whose deadline passed: the signed statement, and what changes with it."""

    statement: bytes
    changes: list[Change]


class _Waiting:
    """A document and those who haven't answered."""

    __slots__ = ("deadline_ms", "recipients", "value")

    def __init__(self, deadline_ms: int, value: bytes) -> None:
        self.deadline_ms = deadline_ms
        self.value = value
        self.recipients: set[str] = set()


class Deadlines:
    """The open deadlines of a partition. `settled_ms`: all up to it are settled."""

    def __init__(self, settled_ms: int = 0) -> None:
        self.settled_ms = settled_ms
        self._waiting: dict[bytes, _Waiting] = {}

    def __len__(self) -> int:
        return sum(len(one.recipients) for one in self._waiting.values())

    def restore(self, changes: Iterable[Change]) -> None:
        """Begin with what was written, in its order; InvariantBroken for a copy without its document."""
        held: dict[bytes, bytes] = {}
        for key, value in changes:
            if value is None:
                held.pop(key, None)
            else:
                held[key] = value
        for key, value in held.items():
            if len(key) == KEY_BYTES:
                self._waiting[key] = _Waiting(_AWAITED.decode(value)["deadline_ms"], value)
        for key in held:
            if len(key) > KEY_BYTES:
                document = self._waiting.get(key[:KEY_BYTES])
                if document is None:
                    raise InvariantBroken(f"a copy without its document among the promises: {key.hex()}")
                document.recipients.add(sys.intern(key[KEY_BYTES:].decode()))

    def take(self, topic: str, event: Fields) -> list[Change]:
        """Take in one event of the trace; returns what changes."""
        if event["outcome"] != "accepted":
            return []
        summary = event["summary"]
        if summary is not None:
            return [] if summary["due"] is None else self._await(topic, event, deadline_of(summary["due"]))
        said = event["status"]
        if said is not None and said["recipient"] == event["sender"]:
            key = key_of(event["thread"], said["document_sender"], said["document_id"])
            document = self._waiting.get(key)
            if document is not None and event["append_ms"] < document.deadline_ms:
                return self._answered(key, document, said["recipient"])
        return []

    def passed(self, now_ms: int) -> int | None:
        """The first deadline that has passed and isn't settled; None if there is none."""
        return min((one.deadline_ms for one in self._waiting.values() if one.deadline_ms <= now_ms), default=None)

    def lapses(self, deadline_ms: int, backbone: str, partition: int, statuses_next: int) -> Iterator[Lapse]:
        """Settle a deadline, copy by copy. `statuses_next`: none of the statuses below it is a receipt in time."""
        for key, document in list(self._waiting.items()):
            if document.deadline_ms != deadline_ms:
                continue
            fields = _AWAITED.decode(document.value)
            fields |= {"sender": backbone, "partition": partition, "statuses_next": statuses_next}
            for recipient in sorted(document.recipients):
                statement = _LAPSE.encode({**fields, "recipient": recipient})
                yield Lapse(statement, self._answered(key, document, recipient))

    def _await(self, topic: str, event: Fields, deadline_ms: int) -> list[Change]:
        recipients = [copy["recipient"] for copy in event["deliveries"] if copy["partition"] >= 0]
        if not recipients or deadline_ms <= max(event["append_ms"], self.settled_ms):
            return []
        fields = {name: event[name] for name in ("id", "sha256", "thread", "offset", "append_ms")}
        value = _AWAITED.encode({**fields, "to": event["sender"], "topic": topic, "deadline_ms": deadline_ms})
        key = key_of(event["thread"], event["sender"], event["id"])
        document = self._waiting[key] = _Waiting(deadline_ms, value)
        document.recipients.update(map(sys.intern, recipients))
        return [(key, value), *((_copy(key, recipient), STILL) for recipient in recipients)]

    def _answered(self, key: bytes, document: _Waiting, recipient: str) -> list[Change]:
        if recipient not in document.recipients:
            return []
        document.recipients.discard(recipient)
        changes: list[Change] = [(_copy(key, recipient), None)]
        if not document.recipients:
            del self._waiting[key]
            changes.append((key, None))
        return changes


def deadline_of(due: int) -> int:
    """The end, in Vietnam (UTC+7), of a day (days since 1970)."""
    return (due + 1) * DAY_MS - ZONE_MS


def key_of(thread: str, sender: str, statement_id: str) -> bytes:
    """A document's key: an id is its sender's, within a thread (decision 0002)."""
    return sha256("\0".join((thread, sender, statement_id)).encode()).digest()[:KEY_BYTES]


def _copy(key: bytes, recipient: str) -> bytes:
    return key + recipient.encode()


TOPICS_OF_DEADLINES = (Topic.DOCUMENTS_URGENT, Topic.DOCUMENTS, Topic.STATUSES)
"""What must have been read up to a deadline before it is settled: documents that it might be of, and receipts."""
