"""From a statement to a packet, for what was said by systems that know no edXML.

Guarantees: reading the packet back gives the same fields, where edXML has a place for them; the attachments' bytes
are the statement's. Memory doesn't grow with them. Element names and order are those of the national SDK's packets,
so that readers that go by prefixes or order find what they look for.

What has no place there: which recipients are only informed (they are among To), and the lane.
"""

from __future__ import annotations

import base64
import html
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO
from uuid import UUID

from connectors.edxml.codes import BUSINESS, BusinessType
from connectors.edxml.packet import VIETNAM, Organ
from connectors.edxml.reading import NAMESPACE
from exchange.sdk import TYPES, Fields

CHUNK_BYTES = 57 * 1024
"""A multiple of three: base64 of each piece joins to that of all."""
DIGEST_NAMESPACE = "urn:exchange:edxml"
_NUMBERS = {word: number for number, word in BUSINESS.items()}
_EPOCH = date(1970, 1, 1)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

Node = tuple[str, "str | Sequence[Node] | None"]
"""An element: name, and text or children; None leaves it out."""

LookUp = Callable[[str], Organ]
"""How an agency is described, by its code."""


def build_document(target: Path, fields: Fields, files: Iterable[Path], look_up: LookUp) -> None:
    """Write the packet of a document. `files`: the attachments' bytes, in the statement's order."""
    with target.open("wb") as out:
        out.write(_head(_document_header(fields, look_up), _business(fields)))
        out.write(_manifest(fields["attachments"]))
        out.write(b"  </edXML:edXMLEnvelope>\n  <AttachmentEncoded>\n")
        for number, (one, file) in enumerate(zip(fields["attachments"], files, strict=True), 1):
            _attach(out, number, one, file)
        out.write(b"  </AttachmentEncoded>\n</edXML>\n")


def build_status(target: Path, fields: Fields, number: str, look_up: LookUp) -> None:
    """Write the packet of a status. `number`: number/notation of the document that it is about."""
    document = fields["document"]
    other = fields["recipient"] if fields["sender"] == document["sender"] else document["sender"]
    staff = fields["staff"]
    said = datetime.fromtimestamp(fields["signed_ms"] / 1000, VIETNAM)
    header: list[Node] = [
        ("From", _organ(look_up(fields["sender"]))),
        ("ResponseFor", [("OrganId", other), ("Code", number), ("DocumentId", document["id"])]),
        ("StaffInfo", None if staff is None else _staff(staff)),
        ("StatusCode", f"{fields['code']:02d}"),
        ("Description", fields["reason"]),
        ("Timestamp", f"{said:%Y/%m/%d %H:%M:%S}"),
    ]
    target.write_bytes(_head(header, None) + b"  </edXML:edXMLEnvelope>\n</edXML>\n")


def _document_header(fields: Fields, look_up: LookUp) -> list[Node]:
    signer = fields["signer"]
    recipients = dict.fromkeys(fields["to"] + fields["information"])
    return [
        ("From", _organ(look_up(fields["sender"]))),
        *(("To", _organ(look_up(code))) for code in recipients),
        ("DocumentId", fields["id"]),
        ("Code", [("CodeNumber", fields["code_number"]), ("CodeNotation", fields["code_notation"])]),
        ("PromulgationInfo", [("PromulgationDate", _day(fields["issued"]))]),
        ("DocumentType", [("Type", "2"), ("TypeName", TYPES[fields["type"]])]),
        ("Subject", fields["subject"]),
        ("Content", fields["content"] or None),
        ("SignerInfo", [("Position", signer["position"]), ("FullName", signer["name"])]),
        ("DueDate", None if fields["due"] is None else _day(fields["due"])),
        ("OtherInfo", [("Priority", str(fields["urgency"]))]),
        *(("ResponseFor", _reference(one)) for one in fields["references"]),
        ("SteeringType", "1"),
    ]


def _business(fields: Fields) -> list[Node]:
    kind = _NUMBERS[fields["business"]]
    first = None if fields["thread"] is None else fields["thread"].partition("/")[2]
    replaced: Node = (
        "ReplacementInfoList",
        [("ReplacementInfo", [("DocumentId", first), ("OrganIdList", [("OrganId", c) for c in fields["to"]])])],
    )
    said = datetime.fromtimestamp(fields["signed_ms"] / 1000, VIETNAM)
    return [
        ("TraceHeader", [("OrganId", fields["sender"]), ("Timestamp", f"{said:%Y/%m/%d %H:%M:%S}")]),
        (
            "Bussiness",
            [
                ("DocumentId", first if kind in {BusinessType.RECALL, BusinessType.UPDATE} else None),
                ("BussinessDocType", str(int(kind))),
                replaced if kind is BusinessType.REPLACE else ("ReplacementInfoList", None),
            ],
        ),
    ]


def _reference(one: Fields) -> list[Node]:
    return [
        ("OrganId", one["agency"]),
        ("Code", one["code"]),
        ("DocumentId", one["id"]),
        ("PromulgationDate", None if one["issued"] is None else _day(one["issued"])),
    ]


def _organ(organ: Organ) -> list[Node]:
    return [
        ("OrganId", organ.id),
        ("OrganizationInCharge", organ.in_charge or None),
        ("OrganName", organ.name),
        ("OrganAdd", organ.address or None),
    ]


def _staff(staff: Fields) -> list[Node]:
    names = (("Department", "department"), ("Staff", "name"), ("Email", "email"), ("Mobile", "telephone"))
    return [(element, staff[field]) for element, field in names]


def _head(header: Sequence[Node], traces: Sequence[Node] | None) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<edXML xmlns="{NAMESPACE}">\n'
    text += f'  <edXML:edXMLEnvelope xmlns:edXML="{NAMESPACE}">\n    <edXML:edXMLHeader>'
    text += "".join(_written(("MessageHeader", header)))
    if traces is not None:
        text += "".join(_written(("TraceHeaderList", traces)))
    return f"{text}</edXML:edXMLHeader>\n".encode()


def _manifest(attachments: Sequence[Fields]) -> bytes:
    """The list of attachments; the digest of each stands in it, so that whoever signs the body signs them too."""
    text = f'    <edXML:edXMLBody xmlns:x="{DIGEST_NAMESPACE}"><edXML:edXMLManifest version="1.0">'
    for number, one in enumerate(attachments, 1):
        text += f'<edXML:Reference x:sha256="{one["sha256"].hex()}">'
        names = (("ContentType", one["media_type"]), ("AttachmentName", one["name"]))
        text += "".join(part for node in (("ContentId", f"cid:{number}"), *names) for part in _written(node))
        text += "</edXML:Reference>"
    return f"{text}</edXML:edXMLManifest></edXML:edXMLBody>\n".encode()


def _attach(out: BinaryIO, number: int, one: Fields, file: Path) -> None:
    name, media_type = _escape(one["name"]), _escape(one["media_type"])
    head = f"    <Attachment><ContentId>cid:{number}</ContentId><AttachmentName>{name}</AttachmentName>"
    out.write(f"{head}<ContentType>{media_type}</ContentType><ContentTransferEncoded>".encode())
    with TemporaryFile() as packed:
        _pack(packed, one["sha256"], file)
        packed.seek(0)
        while chunk := packed.read(CHUNK_BYTES):
            out.write(base64.b64encode(chunk))
    out.write(b"</ContentTransferEncoded></Attachment>\n")


def _pack(target: IO[bytes], sha256: bytes, file: Path) -> None:
    """A ZIP as the national SDK packs: one entry, named by a UUID (here of the digest, so the bytes are repeatable)."""
    entry = zipfile.ZipInfo(f"{UUID(bytes=sha256[:16])}.edxml", _ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w") as archive, file.open("rb") as source, archive.open(entry, "w") as packed:
        while chunk := source.read(CHUNK_BYTES):
            packed.write(chunk)


def _written(node: Node) -> Iterator[str]:
    name, value = node
    if value is None:
        return
    yield f"<edXML:{name}>"
    if isinstance(value, str):
        yield _escape(value)
    else:
        for child in value:
            yield from _written(child)
    yield f"</edXML:{name}>"


def _escape(text: str) -> str:
    """Text of an element; no statement's text has a character that XML doesn't allow."""
    return html.escape(text, quote=False)


def _day(days: int) -> str:
    return f"{_EPOCH + timedelta(days=days):%Y/%m/%d}"
