"""Packets for tests, written by hand: small, complete, and easy to spoil."""

from __future__ import annotations

import base64
import io
import zipfile
from uuid import UUID

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
ENTRY = f"{UUID(int=7)}.edxml"
PLAN = "Kế hoạch năm 2026".encode()


def packed(content: bytes, entry: str = ENTRY, **how: int) -> str:
    """Base64 of a ZIP with one entry, as the national SDK makes it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", how.get("method", zipfile.ZIP_DEFLATED)) as archive:
        archive.writestr(entry, content)
    return base64.b64encode(target.getvalue()).decode()


def document(
    sender: str = "000.00.00.G22",
    to: tuple[str, ...] = ("000.00.00.H41",),
    *,
    document_id: str = "G22-2026-1",
    number: str = "16",
    notation: str = "VPCP-TH",
    subject: str = "V/v kế hoạch năm 2026",
    content: str | None = None,
    business: str = "<e:BussinessDocType>0</e:BussinessDocType>",
    header: str = "",
    extra: str = "",
) -> str:
    """A document's packet with one attachment. `content`: base64; `extra`: after the attachments."""
    receivers = "".join(f"<e:To><e:OrganId>{code}</e:OrganId><e:OrganName>Nơi nhận</e:OrganName></e:To>" for code in to)
    text = base64.b64encode(PLAN).decode() if content is None else content
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<edXML xmlns="{NAMESPACE}"><e:edXMLEnvelope xmlns:e="{NAMESPACE}"><e:edXMLHeader>
<e:MessageHeader>
  <e:From><e:OrganId>{sender}</e:OrganId><e:OrganName>Nơi gửi</e:OrganName><e:OrganAdd>Hà Nội</e:OrganAdd></e:From>
  {receivers}
  <e:DocumentId>{document_id}</e:DocumentId>
  <e:Code><e:CodeNumber>{number}</e:CodeNumber><e:CodeNotation>{notation}</e:CodeNotation></e:Code>
  <e:PromulgationInfo><e:PromulgationDate>2026/01/15</e:PromulgationDate></e:PromulgationInfo>
  <e:DocumentType><e:Type>2</e:Type><e:TypeName>Quyết định</e:TypeName></e:DocumentType>
  <e:Subject>{subject}</e:Subject>
  <e:SteeringType>1</e:SteeringType>
  <e:OtherInfo><e:Priority>0</e:Priority></e:OtherInfo>
  {header}
</e:MessageHeader>
<e:TraceHeaderList><e:TraceHeader><e:OrganId>{sender}</e:OrganId><e:Timestamp>2026/01/15 08:00:00</e:Timestamp>
</e:TraceHeader><e:Bussiness>{business}</e:Bussiness></e:TraceHeaderList>
</e:edXMLHeader>
<e:edXMLBody><e:edXMLManifest version="1.0"><e:Reference><e:ContentId>cid:1</e:ContentId>
<e:AttachmentName>kế hoạch.txt</e:AttachmentName><e:ContentType>text/plain</e:ContentType></e:Reference>
</e:edXMLManifest></e:edXMLBody></e:edXMLEnvelope>
<AttachmentEncoded><Attachment><ContentId>1</ContentId><AttachmentName>kế hoạch.txt</AttachmentName>
<ContentTransferEncoded>{text}</ContentTransferEncoded></Attachment></AttachmentEncoded>{extra}</edXML>
"""


def status(
    sender: str, about_sender: str, code: str, *, document_id: str = "G22-2026-1", number: str = "16/VPCP-TH",
    description: str = "",
) -> str:  # fmt: skip
    """A status message's packet."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<edXML xmlns="{NAMESPACE}"><edXMLEnvelope><edXMLHeader><MessageHeader>
  <From><OrganId>{sender}</OrganId><OrganName>Nơi nhận</OrganName><OrganAdd>Vinh</OrganAdd></From>
  <ResponseFor><OrganId>{about_sender}</OrganId><Code>{number}</Code><DocumentId>{document_id}</DocumentId></ResponseFor>
  <StaffInfo><Department>Văn thư</Department><Staff>Nguyễn Văn A</Staff></StaffInfo>
  <StatusCode>{code}</StatusCode><Description>{description}</Description><Timestamp>2026/01/15 09:30:00</Timestamp>
</MessageHeader></edXMLHeader></edXMLEnvelope></edXML>
"""
