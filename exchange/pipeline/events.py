"""The trace events: one for each submission, whatever became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exchange.pipeline.books import printable
from exchange.pipeline.routing import Copy
from exchange.pipeline.submission import Submission
from exchange.statements import AttachmentRef, Fields, Statement


def event(
    submission: Submission, outcome: str, statement: Statement | None, *, verified: bool, code: str = ""
) -> dict[str, Any]:
    """The event of a submission; the fields are those of ``schemas/trace``, to be completed by outcome."""
    fields: dict[str, Any] = {
        "offset": submission.offset,
        "append_ms": submission.append_ms,
        "outcome": outcome,
        "code": code,
        "kind": "",
        "sender": "",
        "sender_level": 0,
        "verified": verified,
        "id": "",
        "thread": "",
        "sha256": None,
        "certificate": None,
        "summary": None,
        "status": None,
        "deliveries": [],
        "accepted_offset": -1,
    }
    if statement is not None:
        fields["kind"] = statement.kind.name
        fields["sender"] = printable(statement.sender, 35)
        fields["id"] = printable(statement.id, 64)
        fields["thread"] = printable(statement.kind.key(statement.fields), 150)
        fields["sha256"] = statement.digest
    return fields


def summary(fields: Fields, attachments: Sequence[AttachmentRef]) -> dict[str, Any]:
    """What is kept of an accepted document for searching."""
    return {
        "business": fields["business"],
        "code": f"{fields['code_number']}/{fields['code_notation']}",
        "type": fields["type"],
        "subject": fields["subject"],
        "issued": fields["issued"],
        "urgency": fields["urgency"],
        "due": fields["due"],
        "attachments": len(attachments),
        "bytes": sum(attachment.size for attachment in attachments),
    }


def deliveries(copies: Sequence[Copy]) -> list[dict[str, Any]]:
    """The copies of an accepted statement."""
    return [
        {
            "recipient": copy.recipient,
            "level": copy.level,
            "partition": copy.partition,
            "redirected_from": copy.redirected_from,
        }
        for copy in copies
    ]
