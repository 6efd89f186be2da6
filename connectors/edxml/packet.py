"""What a packet says: elements by their expanded names, in any order, with any prefix.

Guarantees: any bytes become a `Packet` or `Rejected`; what may stand once stands once, so no reader can see another
value than ours. A packet that lacks what cannot be done without is refused, the rest is warned of, in the provincial
spelling (``R.MessageHeader.Code.CodeNumber``). Values are trimmed; nothing else is changed.

Source: real packets and two field lists (README.md here); Namespaces in XML 1.0 §5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from lxml import etree

from connectors.edxml.codes import MAXIMA, MISSING, RANGE, TYPE, BusinessType
from connectors.edxml.limits import Limits
from connectors.edxml.reading import NAMESPACE, Slim, read
from exchange.errors import Rejected

VIETNAM = timezone(timedelta(hours=7))
STATUS_CODES = frozenset({1, 2, 3, 4, 5, 6, 13, 15, 16})
_DATE = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})|(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_MOMENT = re.compile(r"(\d{4})/(\d{2})/(\d{2}) (\d{2}):(\d{2}):(\d{2})", re.ASCII)
_SINGLE = ("ResponseFor", "To", "StaffInfo")
"""What may repeat in a header; all else stands once."""


@dataclass(frozen=True, slots=True)
class Organ:
    """An agency as a packet describes it. `id`: its code as spelled there."""

    id: str
    name: str = ""
    in_charge: str = ""
    address: str = ""
    email: str = ""
    telephone: str = ""
    fax: str = ""
    website: str = ""


@dataclass(frozen=True, slots=True)
class ResponseFor:
    """An earlier document. `code`: ``number/notation``; `document_id`: opaque."""

    organ_id: str
    code: str
    document_id: str
    promulgated: date | None


@dataclass(frozen=True, slots=True)
class Staff:
    """Who dealt with it."""

    department: str
    name: str
    email: str
    mobile: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document's header."""

    to: tuple[Organ, ...]
    document_id: str
    number: str
    notation: str
    place: str
    promulgated: date | None
    type: str
    type_detail: str
    type_name: str
    subject: str
    content: str
    competence: str
    position: str
    signer: str
    due: date | None
    to_places: tuple[str, ...]
    steering: int
    response_for: tuple[ResponseFor, ...]
    priority: int
    sphere: str
    typer: str
    amount: str
    pages: str
    direction: str
    appendixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """A status message's header. `said`: None if there is no time in it."""

    response_for: ResponseFor
    code: int
    description: str
    staff: tuple[Staff, ...]
    said: datetime | None


@dataclass(frozen=True, slots=True)
class Replaced:
    """An old document, and from whom it is withdrawn."""

    document_id: str
    organ_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Business:
    """What the packet does. `receivers`: code and whether it is added (else it is removed)."""

    type: BusinessType = BusinessType.NEW
    reason: str = ""
    document_id: str = ""
    paper: str = ""
    staff: tuple[Staff, ...] = ()
    info_changed: bool = False
    receivers_changed: bool = False
    receivers: tuple[tuple[str, bool], ...] = ()
    replaced: tuple[Replaced, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a packet. `content`: its bytes, in a file of the reader's."""

    content_id: str
    name: str
    media_type: str
    description: str
    content: Path


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet. `header`: of a document or of a status; `xml`: without the attachments' content."""

    sender: Organ
    header: Document | Status
    trace: tuple[tuple[str, str], ...]
    business: Business
    attachments: tuple[Attachment, ...]
    warnings: tuple[str, ...]
    xml: bytes = field(repr=False)

    @property
    def document(self) -> Document:
        """The header of a document; Rejected ``edxml.not_a_document``."""
        if isinstance(self.header, Document):
            return self.header
        raise Rejected("edxml.not_a_document", "a status message")


def open_packet(source: Path, folder: Path, limits: Limits | None = None) -> Packet:
    """Read a packet; its attachments' content goes into `folder`, which is the caller's to remove.

    Raises: Rejected ``edxml.*``: whoever made the packet must act.
    """
    bounds = limits or Limits()
    return _Reader(bounds).packet(read(source, folder, bounds))


def parse(xml: bytes) -> etree._Element:
    """The tree of slim bytes: no entity, no network, nothing recovered; Rejected ``edxml.not_well_formed``."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, recover=False
    )
    try:
        return etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as exc:
        raise Rejected("edxml.not_well_formed", str(exc)[:200]) from exc


def named(name: str) -> str:
    """An element's name in the packet's namespace."""
    return f"{{{NAMESPACE}}}{name}"


def one(parent: etree._Element | None, name: str) -> etree._Element | None:
    """The one child of that name, if there is one; Rejected ``edxml.repeated``."""
    if parent is None:
        return None
    found = parent.findall(named(name))
    if len(found) > 1:
        raise Rejected("edxml.repeated", f"{_local(parent)}/{name}")
    return found[0] if found else None


class _Reader:
    """Reads one packet, and collects what is odd about it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._warnings: list[str] = []

    def packet(self, slim: Slim) -> Packet:
        root = parse(slim.xml)
        envelope = one(root, "edXMLEnvelope") if root.tag == named("edXML") else None
        if envelope is None:
            raise Rejected("edxml.not_an_envelope", str(root.tag)[:100])
        if any(_local(child) == "edXMLAttachments" for child in root.iter(etree.Element)):
            raise Rejected("edxml.attachments_unknown", "edXMLAttachments")
        header = one(envelope, "edXMLHeader")
        message = one(header, "MessageHeader")
        if message is None:
            raise Rejected("edxml.field_missing", f"{MISSING}.MessageHeader")
        for child in message:
            if isinstance(child.tag, str) and _local(child) not in _SINGLE:
                one(message, _local(child))
        is_status = one(message, "StatusCode") is not None
        traces = one(header, "TraceHeaderList")
        return Packet(
            self._organ(one(message, "From"), "From"),
            self._status(message) if is_status else self._document(message),
            tuple((self._text(t, "OrganId"), self._text(t, "Timestamp")) for t in _all(traces, "TraceHeader")),
            self._business(one(traces, "Bussiness")),
            tuple(self._attachments(root, one(one(envelope, "edXMLBody"), "edXMLManifest"), slim.contents)),
            tuple(self._warnings),
            slim.xml,
        )

    def _document(self, message: etree._Element) -> Document:
        code, other = one(message, "Code"), one(message, "OtherInfo")
        issue, kind, signer = one(message, "PromulgationInfo"), one(message, "DocumentType"), one(message, "SignerInfo")
        to = tuple(self._organ(organ, "To") for organ in _all(message, "To"))
        if not to:
            raise Rejected("edxml.field_missing", f"{MISSING}.MessageHeader.To")
        for name in ("SteeringType", "DocumentId"):
            self._text(message, name, wanted=True)
        promulgated = self._text(issue, "PromulgationDate")
        if not promulgated:
            self._warn(MISSING, "MessageHeader.PromulgationInfo.PromulgationDate")
        return Document(
            to=to,
            document_id=self._text(message, "DocumentId"),
            number=self._text(code, "CodeNumber", path="Code.CodeNumber", needed=True),
            notation=self._text(code, "CodeNotation", path="Code.CodeNotation", needed=True),
            place=self._text(issue, "Place", path="PromulgationInfo.Place"),
            promulgated=self._date(promulgated, "PromulgationInfo.PromulgationDate"),
            type=self._text(kind, "Type"),
            type_detail=self._text(kind, "TypeDetail"),
            type_name=self._text(kind, "TypeName", path="DocumentType.TypeName"),
            subject=self._text(message, "Subject", needed=True),
            content=self._text(message, "Content"),
            competence=self._text(signer, "Competence", path="SignerInfo.Competence"),
            position=self._text(signer, "Position", path="SignerInfo.Position"),
            signer=self._text(signer, "FullName", path="SignerInfo.FullName"),
            due=self._date(self._text(message, "DueDate"), "DueDate"),
            to_places=self._texts(one(message, "ToPlaces"), "Place"),
            steering=self._number(message, "SteeringType", "SteeringType", 0, 3),
            response_for=tuple(
                self._response(one) for one in _all(message, "ResponseFor") if any(_value(c) for c in one.iter())
            ),
            priority=self._number(other, "Priority", "OtherInfo.Priority", 0, 4),
            sphere=self._text(other, "SphereOfPromulgation", path="OtherInfo.SphereOfPromulgation"),
            typer=self._text(other, "TyperNotation", path="OtherInfo.TyperNotation"),
            amount=self._text(other, "PromulgationAmount"),
            pages=self._text(other, "PageAmount"),
            direction=self._text(other, "Direction"),
            appendixes=self._texts(one(other, "Appendixes"), "Appendix"),
        )

    def _status(self, message: etree._Element) -> Status:
        found = _all(message, "ResponseFor")
        if len(found) != 1:
            raise Rejected(
                "edxml.field_missing" if not found else "edxml.repeated", f"{MISSING}.MessageHeader.ResponseFor"
            )
        about = self._response(found[0])
        if not about.organ_id or not (about.document_id or about.code):
            raise Rejected("edxml.field_missing", f"{MISSING}.MessageHeader.ResponseFor.OrganId")
        text = self._text(message, "StatusCode", needed=True)
        if not (text.isascii() and text.isdigit() and int(text[:3]) in STATUS_CODES):
            raise Rejected("edxml.status_unknown", f"{TYPE}.MessageHeader.StatusCode {text[:10]}")
        return Status(
            about,
            int(text),
            self._text(message, "Description"),
            self._staff(message),
            _moment(self._text(message, "Timestamp")),
        )

    def _business(self, block: etree._Element | None) -> Business:
        if block is None:
            return Business()
        info = one(block, "BussinessDocumentInfo")
        return Business(
            type=BusinessType(self._number(block, "BussinessDocType", "Bussiness.BussinessDocType", 0, 3)),
            reason=self._text(block, "BussinessDocReason"),
            document_id=self._text(block, "DocumentId"),
            paper=self._text(block, "Paper"),
            staff=self._staff(block),
            info_changed=self._text(info, "DocumentInfo") == "1",
            receivers_changed=self._text(info, "DocumentReceiver") == "1",
            receivers=tuple(
                (self._text(receiver, "OrganId"), self._text(receiver, "ReceiverType") != "0")
                for receiver in _all(one(info, "ReceiverList"), "Receiver")
            ),
            replaced=tuple(
                Replaced(self._text(old, "DocumentId"), self._texts(one(old, "OrganIdList"), "OrganId"))
                for old in _all(one(block, "ReplacementInfoList"), "ReplacementInfo")
            ),
        )

    def _attachments(
        self, root: etree._Element, manifest: etree._Element | None, contents: list[Path | None]
    ) -> Iterator[Attachment]:
        """Join what the manifest lists and what is attached by ContentId, in the manifest's order."""
        attached = [*_all(one(root, "AttachmentEncoded"), "Attachment")]
        found = dict[str, tuple[etree._Element, Path]]()
        for element, path in zip(attached, contents, strict=True):
            content_id = _content_id(self._text(element, "ContentId"))
            if path is None or not content_id:
                raise Rejected("edxml.attachment_empty", content_id[:100])
            if content_id in found:
                raise Rejected("edxml.repeated", f"ContentId {content_id[:100]}")
            found[content_id] = element, path
        listed = set[str]()
        for reference in _all(manifest, "Reference"):
            content_id = _content_id(self._text(reference, "ContentId"))
            if content_id in listed:
                raise Rejected("edxml.repeated", f"Reference {content_id[:100]}")
            listed.add(content_id)
            if content_id not in found:
                raise Rejected("edxml.attachment_missing", content_id[:100])
            yield self._attachment(content_id, *found[content_id], reference)
        for content_id, (element, path) in found.items():
            if content_id not in listed:
                self._warn(MISSING, "edXMLManifest.Reference")
                yield self._attachment(content_id, element, path, None)

    def _attachment(
        self, content_id: str, element: etree._Element, path: Path, reference: etree._Element | None
    ) -> Attachment:
        def said(name: str) -> str:
            return self._text(reference, name) or self._text(element, name)

        name = said("AttachmentName")
        if not name:
            raise Rejected("edxml.field_missing", f"{MISSING}.edXMLManifest.Reference.AttachmentName")
        return Attachment(content_id, name, said("ContentType"), said("Description"), path)

    def _organ(self, element: etree._Element | None, where: str) -> Organ:
        return Organ(
            id=self._text(element, "OrganId", path=f"{where}.OrganId", needed=True),
            name=self._text(element, "OrganName", path=f"{where}.OrganName", wanted=True),
            in_charge=self._text(element, "OrganizationInCharge", path=f"{where}.OrganizationInCharge"),
            address=self._text(element, "OrganAdd", path=f"{where}.OrganAdd", wanted=True),
            email=self._text(element, "Email", path=f"{where}.Email"),
            telephone=self._text(element, "Telephone", path=f"{where}.Telephone"),
            fax=self._text(element, "Fax", path=f"{where}.Fax"),
            website=self._text(element, "Website"),
        )

    def _response(self, element: etree._Element) -> ResponseFor:
        return ResponseFor(
            self._text(element, "OrganId"),
            self._text(element, "Code"),
            self._text(element, "DocumentId"),
            self._date(self._text(element, "PromulgationDate"), "ResponseFor.PromulgationDate"),
        )

    def _staff(self, parent: etree._Element) -> tuple[Staff, ...]:
        return tuple(
            Staff(*(self._text(person, name) for name in ("Department", "Staff", "Email", "Mobile")))
            for person in _all(parent, "StaffInfo")
        )

    def _texts(self, parent: etree._Element | None, name: str) -> tuple[str, ...]:
        return tuple(self._bounded(_value(element), name, name) for element in _all(parent, name))

    def _text(
        self, parent: etree._Element | None, name: str, *, path: str = "", needed: bool = False, wanted: bool = False
    ) -> str:
        """A field's value, trimmed; empty if it isn't there. `wanted`: warn of that; `needed`: refuse it."""
        where = f"MessageHeader.{path or name}"
        element = one(parent, name)
        text = "" if element is None else self._bounded(_value(element), name, where)
        if not text and needed:
            raise Rejected("edxml.field_missing", f"{MISSING}.{where}")
        if not text and wanted:
            self._warn(MISSING, where)
        return text

    def _bounded(self, text: str, name: str, where: str) -> str:
        if len(text) > self._limits.text_characters:
            raise Rejected("edxml.too_large", f"{where}: {len(text)} > {self._limits.text_characters} characters")
        if len(text) > MAXIMA.get(name, self._limits.text_characters):
            self._warn(RANGE, where)
        return text

    def _number(self, parent: etree._Element | None, name: str, where: str, least: int, most: int) -> int:
        """A number of a table, 0 if it isn't there or isn't of the table (which is warned of)."""
        text = self._text(parent, name)
        if not text:
            return 0
        if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
            self._warn(TYPE, f"MessageHeader.{where}")
            return 0
        return int(text)

    def _date(self, text: str, where: str) -> date | None:
        found = _DATE.fullmatch(text)
        try:
            if found is not None:
                year, month, day = found.groups()[:3] if found[1] else found.groups()[:2:-1]
                return date(int(year), int(month), int(day))
        except ValueError:
            pass
        if text:
            self._warn(TYPE, f"MessageHeader.{where}")
        return None

    def _warn(self, letter: str, where: str) -> None:
        warning = f"{letter}.{where}"
        if warning not in self._warnings:
            self._warnings.append(warning)


def _all(parent: etree._Element | None, name: str) -> list[etree._Element]:
    return [] if parent is None else parent.findall(named(name))


def _value(element: etree._Element) -> str:
    """The text of an element itself, comments and children left out."""
    return "".join([element.text or "", *(child.tail or "" for child in element)]).strip()


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname


def _content_id(text: str) -> str:
    return text.removeprefix("cid:").strip()


def _moment(text: str) -> datetime | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime(*map(int, found.groups()), tzinfo=VIETNAM)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
