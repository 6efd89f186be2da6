"""Statuses: what a recipient did with its copy (its signed receipt), or what the sender asks of it.

Codes of QCVN 102: 01 arrived, 02 refused, 03 accepted, 04 assigning, 05 in progress, 06 finished,
13 take-back asked (by the sender), 15 and 16 change or take-back agreed and refused.
"""

from __future__ import annotations

from exchange.errors import Rejected
from exchange.statements.codec import Fields
from exchange.statements.kind import Kind, Route, Topic, nobody, nothing
from exchange.statements.text import identifier, line, paragraph

ARRIVED, REFUSED, ACCEPTED, ASSIGNING, IN_PROGRESS, FINISHED = 1, 2, 3, 4, 5, 6
TAKE_BACK_ASKED, AGREED, DECLINED = 13, 15, 16

CODES = {
    ARRIVED: "arrived", REFUSED: "refused", ACCEPTED: "accepted", ASSIGNING: "assigning",
    IN_PROGRESS: "in progress", FINISHED: "finished", TAKE_BACK_ASKED: "take-back asked",
    AGREED: "change agreed", DECLINED: "change declined",
}  # fmt: skip

EXTENSION_BYTES_MAX = 16 * 1024
"""What a system may add in a form of its own: half of what a statement may hold."""


def check(fields: Fields) -> None:
    """Apply the rules that need neither directory nor store.

    Raises: Rejected ``text.*``, ``status.code_unknown``, ``status.reason_missing``, ``status.wrong_side``,
        ``status.extension_too_large``.
    """
    identifier("id", fields["id"])
    code = fields["code"]
    if code not in CODES:
        raise Rejected("status.code_unknown", str(code))
    paragraph("reason", fields["reason"], 500)
    if code in {REFUSED, DECLINED} and not fields["reason"].strip():
        raise Rejected("status.reason_missing", f"{code:02d} needs a reason")
    document, recipient, sender = fields["document"], fields["recipient"], fields["sender"]
    by_sender = code == TAKE_BACK_ASKED
    if sender != (document["sender"] if by_sender else recipient):
        raise Rejected("status.wrong_side", f"{code:02d} is not {sender[:40]}'s to say")
    if fields["staff"] is not None:
        for name, text in fields["staff"].items():
            line(f"staff.{name}", text, 100)
    extension = fields.get("extension")  # not in v1
    if extension is not None:
        line("extension.media_type", extension["media_type"], 127, 1)
        if len(extension["content"]) > EXTENSION_BYTES_MAX:
            raise Rejected("status.extension_too_large", f"{len(extension['content'])} > {EXTENSION_BYTES_MAX} bytes")


def _topic(_: Fields) -> str:
    return Topic.STATUSES


def _key(fields: Fields) -> str:
    thread: str = fields["thread"]
    return thread


STATUS = Kind(
    name="status",
    route=Route.COPY,
    topic=_topic,
    key=_key,
    check=check,
    leader=nobody,
    addressees=nothing,
    attachments=nothing,
)
