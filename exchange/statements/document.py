"""Official documents: new, recall, update, replacement (QCVN 102; types of Decree 30/2020, Annex III)."""

from __future__ import annotations

from exchange.errors import Rejected
from exchange.statements.codec import Fields
from exchange.statements.kind import AttachmentRef, Kind, Route, Topic, own_key
from exchange.statements.text import identifier, line, paragraph

RECIPIENTS_MAX = 256
ATTACHMENTS_MAX = 100
REFERENCES_MAX = 100
ATTACHMENT_BYTES_MAX = 2 * 1024**3
DAY_MIN, DAY_MAX = -9_131, 47_481
"""1945-01-01 and 2099-12-31, in days since 1970."""

TYPES = {
    "NQ": "Nghị quyết", "QĐ": "Quyết định", "CT": "Chỉ thị", "QC": "Quy chế", "QyĐ": "Quy định",
    "TC": "Thông cáo", "TB": "Thông báo", "HD": "Hướng dẫn", "CTr": "Chương trình", "KH": "Kế hoạch",
    "PA": "Phương án", "ĐA": "Đề án", "DA": "Dự án", "BC": "Báo cáo", "BB": "Biên bản", "TTr": "Tờ trình",
    "HĐ": "Hợp đồng", "CV": "Công văn", "CĐ": "Công điện", "BGN": "Bản ghi nhớ", "BTT": "Bản thỏa thuận",
    "GUQ": "Giấy ủy quyền", "GM": "Giấy mời", "GGT": "Giấy giới thiệu", "GNP": "Giấy nghỉ phép",
    "PG": "Phiếu gửi", "PC": "Phiếu chuyển", "PB": "Phiếu báo", "ThC": "Thư công",
}  # fmt: skip
"""The 29 types of Decree 30/2020, Article 7; ThC is ours for the letter, which has no abbreviation there."""


def lane(fields: Fields) -> str:
    """The topic of the document's lane, which is a signed field."""
    return Topic.DOCUMENTS_URGENT if fields["lane"] == "urgent" else Topic.DOCUMENTS


def thread_key(fields: Fields) -> str:
    """The key of the thread that the document begins or continues."""
    return fields["thread"] or own_key(fields)


def check(fields: Fields) -> None:
    """Apply the rules that need neither directory nor store.

    Raises: Rejected ``text.*``, ``document.*``, ``recipients.*``, ``attachment.*``: the sender must act.
    """
    identifier("id", fields["id"])
    if fields["secrecy"] != "none":
        raise Rejected("document.secret", "documents of mật and above never enter")
    if (fields["business"] == "new") != (fields["thread"] is None):
        raise Rejected("document.thread", f"{fields['business']} with thread {fields['thread']!r}"[:200])
    urgency = fields["urgency"]
    if not 0 <= urgency <= 4:
        raise Rejected("document.urgency", str(urgency))
    if fields["thread"] is None and (fields["lane"] == "urgent") != (urgency >= 1):
        raise Rejected("document.lane", f"urgency {urgency} in lane {fields['lane']}")
    if fields["type"] not in TYPES:
        raise Rejected("document.type_unknown", fields["type"][:80])
    for day in (fields["issued"], fields["due"]):
        if day is not None and not DAY_MIN <= day <= DAY_MAX:
            raise Rejected("document.date", f"day {day} since 1970")
    line("code_number", fields["code_number"], 30, 1)
    line("code_notation", fields["code_notation"], 30, 1)
    line("subject", fields["subject"], 500, 1)
    paragraph("content", fields["content"], 500)
    line("signer.name", fields["signer"]["name"], 50)
    line("signer.position", fields["signer"]["position"], 100)
    _check_recipients(fields["to"], fields["information"])
    _check_attachments(fields)


def _check_recipients(to: list[str], information: list[str]) -> None:
    if not to:
        raise Rejected("recipients.empty", "a document needs at least one recipient that must act")
    count = len(to) + len(information)
    if count > RECIPIENTS_MAX:
        raise Rejected("recipients.too_many", f"{count} > {RECIPIENTS_MAX}; address a group")


def _check_attachments(fields: Fields) -> None:
    attachments = fields["attachments"]
    if len(attachments) > ATTACHMENTS_MAX:
        raise Rejected("attachment.too_many", f"{len(attachments)} > {ATTACHMENTS_MAX}")
    for attachment in attachments:
        check_attachment(attachment)
    if len(fields["references"]) > REFERENCES_MAX:
        raise Rejected("document.references", f"{len(fields['references'])} > {REFERENCES_MAX}")
    for reference in fields["references"]:
        line("references.agency", reference["agency"], 35)
        line("references.code", reference["code"], 50)


def check_attachment(attachment: Fields) -> None:
    """Name, media type and size of one attachment; Rejected ``attachment.name``, ``attachment.size``."""
    name = attachment["name"]
    line("attachment.name", name, 200, 1)
    line("attachment.media_type", attachment["media_type"], 127, 1)
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise Rejected("attachment.name", "a file name has no path")
    if not 0 <= attachment["size"] <= ATTACHMENT_BYTES_MAX:
        raise Rejected("attachment.size", str(attachment["size"]))


def attachments(fields: Fields) -> list[AttachmentRef]:
    """The attachments that must be in the object store."""
    return [AttachmentRef(a["sha256"], a["size"]) for a in fields["attachments"]]


def _leader(fields: Fields) -> str | None:
    leader: str | None = fields["signer"]["leader"]
    return leader


def _addressees(fields: Fields) -> list[str]:
    to: list[str] = fields["to"]
    information: list[str] = fields["information"]
    return to + information if information else to


DOCUMENT = Kind(
    name="document",
    route=Route.ADDRESSEES,
    topic=lane,
    key=thread_key,
    check=check,
    leader=_leader,
    addressees=_addressees,
    attachments=attachments,
)
