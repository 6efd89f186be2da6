"""Trace records for tests: what the hop would write, said in one line an event."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from exchange.pipeline.books import PartitionBooks

Event = dict[str, Any]

_FIRST_MS = 1_760_000_000_000
H26 = "000.00.00.H26"
G04 = "000.00.00.G04"
H01 = "000.00.00.H01"


def event(offset: int, sender: str, statement_id: str, **changed: object) -> Event:
    """An event; by default that of a rejected, unreadable submission."""
    fields: Event = {
        "offset": offset,
        "append_ms": _FIRST_MS + offset,
        "outcome": "rejected",
        "code": "avro.truncated",
        "kind": "",
        "sender": sender,
        "sender_level": 0,
        "verified": False,
        "id": statement_id,
        "thread": "",
        "sha256": sha256(f"{sender}/{statement_id}".encode()).digest(),
        "certificate": None,
        "summary": None,
        "status": None,
        "deliveries": [],
        "accepted_offset": -1,
    }
    assert changed.keys() <= fields.keys()
    return fields | changed


def accepted(offset: int, sender: str, statement_id: str, recipients: Sequence[str], **changed: object) -> Event:
    """An accepted document to `recipients` of level 2; with ``summary=None`` a report."""
    fields: Event = {
        "outcome": "accepted",
        "code": "",
        "kind": "document",
        "sender_level": 2,
        "verified": True,
        "thread": f"{sender}/{statement_id}",
        "summary": summary(),
        "deliveries": [copy(recipient) for recipient in recipients],
    }
    return event(offset, sender, statement_id, **(fields | changed))


def follow_up(business: str, offset: int, statement_id: str, first: Event, recipients: Sequence[str]) -> Event:
    """A recall, update or replacement of the document `first`."""
    return accepted(
        offset,
        first["sender"],
        statement_id,
        recipients,
        thread=first["thread"],
        summary=summary(business=business),
    )


def status(offset: int, code: int, document: Event, recipient: str, state: int, **changed: object) -> Event:
    """An accepted status of (or, with code 13, to) `recipient` about its copy; `state` is the one after it."""
    sender, other = (document["sender"], recipient) if code == 13 else (recipient, document["sender"])
    said = {
        "document_sender": document["sender"],
        "document_id": document["id"],
        "recipient": recipient,
        "code": code,
        "moved": True,
        "state": state,
        "reason": "vì lý do\nhai dòng",
    }
    fields = {"kind": "status", "thread": document["thread"], "summary": None, "status": said}
    return accepted(offset, sender, f"s-{offset}", [other], **(fields | changed))


def copy(recipient: str, level: int = 2, partition: int = 1, redirected_from: str | None = None) -> dict[str, Any]:
    """One recipient's copy, as an event names it."""
    return {"recipient": recipient, "level": level, "partition": partition, "redirected_from": redirected_from}


def summary(**changed: object) -> dict[str, Any]:
    """The summary of a document."""
    fields = {
        "business": "new",
        "code": "123/UBND-VP",
        "type": "CV",
        "subject": "Về việc triển khai kế hoạch chuyển đổi số",
        "issued": 20_370,
        "urgency": 0,
        "due": None,
        "attachments": 1,
        "bytes": 123_456,
    }
    assert changed.keys() <= fields.keys()
    return fields | changed


def records(partition: int, events: Sequence[Event], topic: str = "documents") -> list[bytes]:
    """The trace records of one transaction and source partition: one, or more for much."""
    books = PartitionBooks(topic, partition, events[0]["offset"], events[-1]["offset"] + 1, list(events))
    return [record.value for record in books.records(7, _FIRST_MS, "w-1") if record.topic == "trace"]
