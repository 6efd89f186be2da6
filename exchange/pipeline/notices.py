"""The backbone's own word to a sender: a signed notice of rejection or of recipients that can't be reached.

A notice is deterministic: its id comes from the submission's coordinates, its time from the broker, and its
signature (Ed25519) from nothing else. It never quotes `detail`, for that may hold hostile text.
"""

from __future__ import annotations

from collections.abc import Callable

from exchange.pipeline.books import printable
from exchange.pipeline.submission import Submission
from exchange.statements import Statement, schema

Notary = Callable[[bytes], bytes]
"""Signs a statement's bytes as the backbone and returns the record."""


def notice(
    submission: Submission,
    statement: Statement,
    backbone: str,
    *,
    code: str,
    recipients: list[str],
) -> bytes:
    """The bytes of a notice to the statement's (verified) sender.

    `code`: the rejection's; ``recipient.closed`` with the `recipients` that could not be reached.
    """
    topic, partition, offset = submission.topic, submission.partition, submission.offset
    return schema("notice").encode(
        {
            "id": f"{topic}:{partition}:{offset}",
            "sender": backbone,
            "to": statement.sender,
            "outcome": "undeliverable" if recipients else "rejected",
            "kind": statement.kind.name,
            "statement": {
                "sender": statement.sender,
                "id": printable(statement.id, 64),
                "sha256": statement.digest,
            },
            "code": code,
            "recipients": recipients,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "append_ms": submission.append_ms,
        }
    )
