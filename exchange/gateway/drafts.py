"""Drafts: statements encoded for a system that has no Avro library, for it to sign.

Guarantees: pure; what is drafted is the caller's own and keeps the rules of its kind, with every default filled in.
Nothing of it is kept or sent. Whoever signs a draft trusts this gateway for what the bytes say; who doesn't, decodes
them first, by ``schemas/``.
"""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from exchange.errors import Rejected
from exchange.gateway.answers import DIGEST
from exchange.gateway.problems import Refused
from exchange.signatures import decode_record
from exchange.signatures.envelope import SUBMISSION
from exchange.statements import KINDS, Fields, compose, identify

VIETNAM = timezone(timedelta(hours=7))
_STRICT = ConfigDict(extra="forbid")
_INT32, _INT64 = 2**31, 2**63

Text = Annotated[str, Field(max_length=1000)]
Id = Annotated[
    str | None, Field(max_length=64, description="The same again is the same statement; by default a new UUID")
]
Day = Annotated[date, Field(ge=date(1945, 1, 1), le=date(2099, 12, 31))]


class DraftedAttachment(BaseModel):
    """A file that was stored before (`PUT /v1/attachments/{sha256}`)."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={
            "examples": [{"name": "plan.pdf", "media_type": "application/pdf", "size": 4, "sha256": DIGEST}]
        }
    )

    name: Text
    media_type: Text = "application/octet-stream"
    size: int = Field(ge=0, lt=_INT64)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class DraftedSigner(BaseModel):
    """Who signed on paper; `leader`: the directory's id, if that person's own signature comes along."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"name": "Nguyễn Văn A", "position": "Chủ tịch", "leader": None}]}
    )

    name: Text = ""
    position: Text = ""
    leader: Text | None = None


class DocumentDraft(BaseModel):
    """A new document."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"kind": "document", "to": ["G22"], "subject": "Kế hoạch năm 2026"}]}
    )

    kind: Literal["document"]
    id: Id = None
    to: list[Text] = Field(max_length=256)
    information: list[Text] = Field([], max_length=256)
    subject: Text
    content: Text = ""
    code_number: Text = "1"
    code_notation: Text = "CV"
    type: Text = Field("CV", description="Abbreviation of Decree 30/2020, Annex III")
    urgency: int = Field(0, ge=-_INT32, lt=_INT32)
    issued: Day | None = Field(None, description="Today by default")
    due: Day | None = None
    signer: DraftedSigner = DraftedSigner()
    attachments: list[DraftedAttachment] = Field([], max_length=100)


class StatusDraft(BaseModel):
    """A receipt or another status about a document or report received: name it by its delivery."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"kind": "status", "record": "wwEk…", "append_ms": 1767225600123, "code": 1}]}
    )

    kind: Literal["status"]
    id: Id = None
    record: str = Field(max_length=2 * SUBMISSION.record_bytes, description="The delivery's `record`")
    append_ms: int = Field(ge=0, lt=_INT64, description="The delivery's `append_ms`")
    code: int = Field(ge=-_INT32, lt=_INT32, description="01 arrived, 02 refused, 03 accepted …")
    reason: Text = ""


def drafted(draft: DocumentDraft | StatusDraft, sender: str, now_ms: int) -> tuple[str, bytes]:
    """The id and the bytes to sign. Raises: Rejected by a rule of the kind; Refused ``request.malformed``."""
    statement_id = draft.id or str(uuid.uuid4())
    make = _document if isinstance(draft, DocumentDraft) else _status
    fields = make(draft, sender, statement_id, now_ms)
    KINDS[draft.kind].check(fields)
    return statement_id, compose.encode(draft.kind, fields)


def _document(draft: Any, sender: str, statement_id: str, now_ms: int) -> Fields:  # noqa: ANN401  a DocumentDraft
    signer = draft.signer
    return compose.document(
        sender, statement_id, draft.to, draft.subject,
        signed_ms=now_ms,
        issued=draft.issued or datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(VIETNAM).date(),
        information=draft.information,
        code=(draft.code_number, draft.code_notation),
        type_=draft.type,
        content=draft.content,
        signer=(signer.name, signer.position, signer.leader),
        urgency=draft.urgency,
        due=draft.due,
        attachments=[
            compose.attachment(one.name, one.media_type, one.size, bytes.fromhex(one.sha256))
            for one in draft.attachments
        ],
    )  # fmt: skip


def _status(draft: Any, sender: str, statement_id: str, now_ms: int) -> Fields:  # noqa: ANN401  a StatusDraft
    kind, about = opened(draft.record)
    if kind not in {"document", "report"}:
        raise Rejected("statement.kind_not_accepted", f"a status about a {kind}")
    return compose.status(
        sender, statement_id, about, draft.code,
        signed_ms=now_ms, document_append_ms=draft.append_ms, thread=KINDS[kind].key(about), reason=draft.reason,
    )  # fmt: skip


def opened(record: str) -> tuple[str, Fields]:
    """Kind and fields of a record in base64; nothing is verified. Raises: Refused, Rejected."""
    try:
        raw: bytes = decode_record(base64.b64decode(record, validate=True))["statement"]
    except ValueError as exc:
        raise Refused("request.malformed", repr(exc)[:200]) from exc
    found = identify(raw)
    return found.name, found.decode(raw)
