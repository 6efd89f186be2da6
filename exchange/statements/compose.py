"""Composing statements: fields with every default filled in, for those who write them.

Nothing here is signed or checked; the gate does that. Clocks are the caller's (milliseconds since 1970 UTC).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from exchange.statements.codec import Fields, schema
from exchange.statements.document import thread_key

_EPOCH = date(1970, 1, 1).toordinal()


def days(day: date) -> int:
    """A date as the schemas hold it."""
    return day.toordinal() - _EPOCH


def attachment(name: str, media_type: str, size: int, sha256: bytes) -> Fields:
    """One attachment of a document or report."""
    return {"name": name, "media_type": media_type, "size": size, "sha256": sha256}


def document(
    sender: str,
    statement_id: str,
    to: Sequence[str],
    subject: str,
    *,
    signed_ms: int,
    issued: date,
    information: Sequence[str] = (),
    code: tuple[str, str] = ("1", "CV"),
    type_: str = "CV",
    content: str = "",
    signer: tuple[str, str, str | None] = ("", "", None),
    urgency: int = 0,
    due: date | None = None,
    attachments: Sequence[Fields] = (),
    references: Sequence[Fields] = (),
) -> Fields:
    """A new document. `code`: number and notation. `signer`: name, position, directory id of the leader."""
    name, position, leader = signer
    return {
        "id": statement_id,
        "sender": sender,
        "thread": None,
        "lane": "urgent" if urgency >= 1 else "normal",
        "signed_ms": signed_ms,
        "business": "new",
        "code_number": code[0],
        "code_notation": code[1],
        "issued": days(issued),
        "type": type_,
        "secrecy": "none",
        "subject": subject,
        "content": content,
        "signer": {"name": name, "position": position, "leader": leader},
        "urgency": urgency,
        "due": None if due is None else days(due),
        "to": list(to),
        "information": list(information),
        "references": list(references),
        "attachments": list(attachments),
    }


def follow_up(original: Fields, business: str, statement_id: str, subject: str, *, signed_ms: int) -> Fields:
    """A recall, update or replacement of a document, to the same recipients, in its thread and lane."""
    return {
        **original,
        "id": statement_id,
        "thread": thread_key(original),
        "signed_ms": signed_ms,
        "business": business,
        "subject": subject,
        "attachments": [],
    }


def status(
    recipient: str,
    statement_id: str,
    about: Fields,
    code: int,
    *,
    signed_ms: int,
    document_append_ms: int,
    thread: str,
    reason: str = "",
    said_by: str | None = None,
    staff: Fields | None = None,
    extension: tuple[str, bytes] | None = None,
) -> Fields:
    """A status about a recipient's copy of `about` (a document's or report's fields).

    `said_by`: who says it if not the recipient (13, the document's sender). `staff`: department, name, email and
    telephone. `extension`: media type and content of what the sender's system adds in a form of its own.
    """
    return {
        "id": statement_id,
        "sender": said_by or recipient,
        "thread": thread,
        "document": {"sender": about["sender"], "id": about["id"]},
        "document_append_ms": document_append_ms,
        "recipient": recipient,
        "signed_ms": signed_ms,
        "code": code,
        "reason": reason,
        "staff": staff,
        "extension": None if extension is None else {"media_type": extension[0], "content": extension[1]},
    }


def report(
    sender: str,
    statement_id: str,
    regime: str,
    period: str,
    figures: Sequence[tuple[str, str, int | float | bool | str | None]],
    *,
    signed_ms: int,
    revision: int = 0,
    to: str | None = None,
    content: str = "",
) -> Fields:
    """A report event. `figures`: indicator, unit, value."""
    return {
        "id": statement_id,
        "sender": sender,
        "regime": regime,
        "period": period,
        "revision": revision,
        "to": to,
        "signed_ms": signed_ms,
        "figures": [{"indicator": i, "unit": u, "value": v} for i, u, v in figures],
        "content": content,
        "attachments": [],
    }


def encode(kind: str, fields: Fields) -> bytes:
    """The bytes to sign."""
    return schema(kind).encode(fields)
