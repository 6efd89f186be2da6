"""What a submission says, read from its bytes, and the notice that its sender may be due.

Guarantees: shares no code with the hop; any bytes become a value or `Rejected`. Knows the kinds that there are:
a new one needs a line in `_READINGS` (and a case in `Recount.copies`).

Source: docs of ``schemas/*/v1.avsc``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.errors import Rejected
from exchange.statements import Fields, Topic, identify, schema


class Said(NamedTuple):
    """A statement read from a submission. `topic`, `thread`: where its signed fields say that it belongs.

    `key`: what its acceptance claims, see `claim_key`; `record`: the submission's other fields.
    """

    kind: str
    fields: Fields
    digest: bytes
    topic: str
    thread: str
    key: bytes
    record: Fields


Reading = Callable[[Fields], tuple[str, str]]


def _document(fields: Fields) -> tuple[str, str]:
    topic = Topic.DOCUMENTS_URGENT if fields["lane"] == "urgent" else Topic.DOCUMENTS
    return topic, fields["thread"] or f"{fields['sender']}/{fields['id']}"


def _status(fields: Fields) -> tuple[str, str]:
    return Topic.STATUSES, fields["thread"]


def _report(fields: Fields) -> tuple[str, str]:
    return Topic.REPORTS, f"{fields['sender']}/{fields['regime']}/{fields['period']}"


_READINGS: dict[str, Reading] = {"document": _document, "status": _status, "report": _report}


def statement_in(value: bytes) -> bytes:
    """The statement's bytes in a record; Rejected if it isn't one."""
    statement: bytes = _record_in(value)["statement"]
    return statement


def _record_in(value: bytes) -> Fields:
    found = identify(value)
    if found.name != "record":
        raise Rejected("record.not_a_record", found.name)
    return found.decode(value)


@lru_cache(maxsize=2)  # several checks read the same submission, one after the other
def read_statement(value: bytes) -> Said:
    """Read the statement in a submission's value; Rejected if it holds none of a kind that may be submitted."""
    record = _record_in(value)
    raw: bytes = record["statement"]
    found = identify(raw)
    reading = _READINGS.get(found.name)
    if reading is None:
        raise Rejected("record.not_a_submission", found.name)
    fields = found.decode(raw)
    topic, thread = reading(fields)
    key = claim_key(thread, fields["sender"], fields["id"])
    return Said(found.name, fields, sha256(raw).digest(), topic, thread, key, record)


def claim_key(thread: str, sender: str, statement_id: str) -> bytes:
    """What is claimed by acceptance (16 bytes): an id is its sender's, within a thread."""
    return sha256("\0".join((thread, sender, statement_id)).encode()).digest()[:16]


def expected_notice(
    at: Coordinates, append_ms: int, said: Said, backbone: str, code: str, unreached: list[str]
) -> bytes:
    """The bytes of the notice that tells a sender what became of its statement."""
    topic, partition, offset = at
    sender, statement_id = said.fields["sender"], _shown(said.fields["id"])
    return schema("notice").encode(
        {
            "id": f"{topic}:{partition}:{offset}",
            "sender": backbone,
            "to": sender,
            "outcome": "undeliverable" if unreached else "rejected",
            "kind": said.kind,
            "statement": {"sender": sender, "id": statement_id, "sha256": said.digest},
            "code": code,
            "recipients": unreached,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "append_ms": append_ms,
        }
    )


def _shown(text: str) -> str:
    """An id that may be hostile, as it is shown: 64 characters, U+FFFD for what can't be printed."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:64])
