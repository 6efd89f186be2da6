"""What the face answers: the words of both dialects in one JSON object, and the provincial error codes.

A provincial axis says ``{success, message, docId}`` or ``{success: false, data: {errorCode, errorDesc}}``, the national
SDK reads ``{status, ErrorCode, ErrorDesc, DocId}``; each finds its own here. Clients repeat network errors and HTTP
5xx only, so a refusal is a 200 with its code, and what may go better later is a 503.

Source: the sources of clients of both (README.md here).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.edxml.book import DONE, FAIL, PREPARED, PROCESSING, REFUSED, UNDELIVERABLE, Got, Said, Sent
from connectors.edxml.packet import VIETNAM
from exchange.errors import ExchangeError, Unavailable

OK, BAD_FILE, BAD_CREDENTIALS, RECEIVER_UNKNOWN, SENDER_UNKNOWN = "0", "10", "15", "18", "19"
SYSTEM, FILE_PROCESSING, BAD_EDXML, RECEIVER_LOCKED = "20", "21", "22", "23"

TITLES = {
    OK: "Thành công",
    BAD_FILE: "File không hợp lệ",
    BAD_CREDENTIALS: "Sai SystemId hoặc SecretKey",
    RECEIVER_UNKNOWN: "Đơn vị nhận không tồn tại",
    SENDER_UNKNOWN: "Đơn vị gửi không đúng với đơn vị đã đăng ký",
    SYSTEM: "Lỗi hệ thống, hãy gửi lại sau",
    FILE_PROCESSING: "Lỗi xử lý file đính kèm",
    BAD_EDXML: "edXML không đúng quy chuẩn",
    RECEIVER_LOCKED: "Đơn vị nhận đã khóa",
}
_CODES = {
    "edxml.too_large": BAD_FILE, "edxml.encoding": BAD_FILE, "edxml.no_file": BAD_FILE,
    "edxml.base64": FILE_PROCESSING, "recipient.unknown": RECEIVER_UNKNOWN, "recipient.closed": RECEIVER_LOCKED,
    "edxml.sender_not_ours": SENDER_UNKNOWN, "edxml.credentials": BAD_CREDENTIALS,
}  # fmt: skip
_FAMILIES = {
    "edxml.zip_": FILE_PROCESSING, "edxml.attachment_": FILE_PROCESSING, "attachment.": FILE_PROCESSING,
    "certificate.": SENDER_UNKNOWN, "assertion.": SENDER_UNKNOWN, "invariant.": SYSTEM, "misconfigured": SYSTEM,
}  # fmt: skip


def code_of(exc: ExchangeError) -> str:
    """The provincial code that goes with an error of ours."""
    if isinstance(exc, Unavailable):
        return SYSTEM
    family = next((code for prefix, code in _FAMILIES.items() if exc.code.startswith(prefix)), BAD_EDXML)
    return _CODES.get(exc.code, family)


def done(**more: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """It went well."""
    return {
        "success": True,
        "message": "OK",
        "code": 200,
        "status": "OK",
        "ErrorCode": OK,
        "ErrorDesc": TITLES[OK],
        **more,
    }


def refused(code: str, ours: str, where: str = "") -> dict[str, Any]:
    """It didn't. `ours`: the exchange's own stable code; `where`: the field, in the provincial spelling."""
    said = f"{TITLES[code]} [{ours}{' ' + where if where else ''}]"
    return {
        "success": False,
        "message": said,
        "status": "FAIL",
        "ErrorCode": code,
        "ErrorDesc": said,
        "DocId": "",
        "data": {"docId": None, "status": "error", "errorCode": code, "errorDesc": said},
    }


def received(row: Got, agency: str) -> dict[str, Any]:
    """A packet for us, in a list."""
    created, updated = moment(row.created_ms), moment(row.updated_ms)
    return {
        "docId": row.doc_id, "serviceType": "eDoc", "messageType": row.kind, "from": row.sender, "to": agency,
        "status": row.transport, "statusDesc": "", "status_desc": "", "createdTime": created, "created_time": created,
        "updatedTime": updated, "updated_time": updated, "notation": row.number, "title": row.subject,
    }  # fmt: skip


def sent(row: Sent, said: list[Said], agency: str) -> list[dict[str, Any]]:
    """A packet of ours, once for each recipient, with what that one said last."""
    by_recipient = {one.recipient: one for one in said}
    return [_sent_to(row, recipient, by_recipient.get(recipient), agency) for recipient in row.recipients]


def _sent_to(row: Sent, recipient: str, said: Said | None, agency: str) -> dict[str, Any]:
    state = {PREPARED: PROCESSING, REFUSED: FAIL}.get(row.state, DONE)
    why = row.code
    if said is not None and said.code == UNDELIVERABLE:
        state, why, said = FAIL, said.reason, None
    return {
        "docId": row.doc_id, "senderDocId": row.document_id, "receiverDocId": row.doc_id, "serviceType": "eDoc",
        "messageType": row.kind, "fromCode": agency, "toCode": recipient, "notation": row.number,
        "sentTime": moment(row.created_ms), "sendStatus": state, "sendStatusDesc": why,
        "receiveStatus": "" if said is None else f"{said.code:02d}",
        "receiveStatusDesc": "" if said is None else said.reason,
        "receivedTime": "" if said is None else moment(said.updated_ms),
    }  # fmt: skip


def agency(found: dict[str, Any]) -> dict[str, Any]:
    """An agency, in both dialects' words."""
    code, name, parent, others = found["code"], found["name"], found["parent"] or "", found["other_codes"]
    old = others[0] if others else ""
    return {
        "orgCode": code, "orgName": name, "parentCode": parent, "id": code, "pid": parent, "code": code, "name": name,
        "mail": "", "code102": old, "oldCode": old,
    }  # fmt: skip


def moment(ms: int) -> str:
    """A time as edXML writes it."""
    return f"{datetime.fromtimestamp(ms / 1000, VIETNAM):%Y/%m/%d %H:%M:%S}"
