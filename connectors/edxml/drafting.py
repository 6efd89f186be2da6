"""From a packet to the fields of a statement. Pure.

Guarantees: what a statement has a field for is taken over as the packet says it, by the rules below; all else stays in
the packet, which travels along. Codes become the new form; the exchange's rules for a kind are applied by the SDK.

| edXML | statement |
|---|---|
| no PromulgationDate | the day on which it is imported |
| TypeName that begins with a type's name in Decree 30 | that type; else a letter (CV), the standard's default |
| Competence, Position | the signer's position |
| ResponseFor | references |
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from connectors.edxml.codes import BUSINESS, BusinessType
from connectors.edxml.packet import Document, Packet, ResponseFor, Status
from exchange.errors import Rejected
from exchange.sdk import TYPES, Fields, compose, parse_code

MEDIA_TYPE = "application/vnd.mic.edxml+xml"
"""Of a status packet that travels in a status; ours, for none is registered."""
LETTER = "CV"
POSITION_MAX = 100


class Thread(NamedTuple):
    """An earlier document's thread, which this one goes on with. `lane`: normal or urgent."""

    key: str
    lane: str


def agency_code(text: str, *, sandbox: bool = False) -> str:
    """An agency's code in the new form; Rejected ``agency.code_malformed``. `sandbox`: lower case too."""
    return parse_code(text.upper() if sandbox else text)


def document_fields(
    packet: Packet,
    statement_id: str,
    signed_ms: int,
    today: date,
    *,
    thread: Thread | None = None,
    leader: str | None = None,
    sandbox: bool = False,
) -> Fields:
    """The fields of a document, without attachments. `thread`: of the target, for all but a new document.

    Raises: Rejected ``agency.code_malformed``, ``edxml.not_a_document``.
    """
    header = packet.document
    fields = compose.document(
        agency_code(packet.sender.id, sandbox=sandbox),
        statement_id,
        _once([agency_code(organ.id, sandbox=sandbox) for organ in header.to]),
        _line(header.subject),
        signed_ms=signed_ms,
        issued=header.promulgated or today,
        code=(header.number, header.notation),
        type_=type_of(header.type_name),
        content=header.content.replace("\r\n", "\n").replace("\t", " "),
        signer=(_line(header.signer), _position(header), leader),
        urgency=header.priority,
        due=header.due,
        references=[_reference(one, sandbox=sandbox) for one in header.response_for if one.code],
    )
    if thread is not None:
        fields |= {"business": BUSINESS[packet.business.type], "thread": thread.key, "lane": thread.lane}
    return fields


def targets(packet: Packet) -> list[str]:
    """DocumentIds of the documents that a packet is about, in the order in which they are to be looked for.

    A replacement names all of them; otherwise the first that is known counts.
    """
    header, business = packet.document, packet.business
    if business.type is BusinessType.NEW:
        return []
    if business.type is BusinessType.REPLACE:
        return _once([old.document_id for old in business.replaced if old.document_id])
    named = [business.document_id, *(one.document_id for one in header.response_for), header.document_id]
    return _once([one for one in named if one])


def status_fields(
    packet: Packet, statement_id: str, signed_ms: int, thread: str, append_ms: int, *, sandbox: bool = False
) -> Fields:
    """The fields of a status about a thread's first document; the packet rides along as it came.

    `append_ms`: when the broker took that document in. Raises: Rejected ``agency.code_malformed``,
        ``edxml.not_a_status``.
    """
    header = packet.header
    if not isinstance(header, Status):
        raise Rejected("edxml.not_a_status", "a document")
    sender = agency_code(packet.sender.id, sandbox=sandbox)
    other = agency_code(header.response_for.organ_id, sandbox=sandbox)
    owner, _, first = thread.partition("/")
    said_by_sender = sender == owner
    person = header.staff[0] if header.staff else None
    return compose.status(
        other if said_by_sender else sender,
        statement_id,
        {"sender": owner, "id": first},
        header.code,
        signed_ms=signed_ms,
        document_append_ms=append_ms,
        thread=thread,
        reason=header.description.replace("\r\n", "\n").replace("\t", " "),
        said_by=owner if said_by_sender else None,
        staff=None
        if person is None
        else {
            "department": _line(person.department),
            "name": _line(person.name),
            "email": _line(person.email),
            "telephone": _line(person.mobile),
        },
        extension=(MEDIA_TYPE, packet.xml),
    )


def type_of(type_name: str) -> str:
    """The abbreviation of Decree 30's type that a name begins with; a letter if it begins with none."""
    spelled = " ".join(type_name.split()).casefold()
    names = sorted(TYPES.items(), key=lambda item: -len(item[1]))
    return next((short for short, name in names if spelled.startswith(name.casefold())), LETTER)


def _position(header: Document) -> str:
    both = _line(f"{header.competence} {header.position}")
    return both if len(both) <= POSITION_MAX else _line(header.position)


def _reference(about: ResponseFor, *, sandbox: bool) -> Fields:
    return {
        "agency": agency_code(about.organ_id, sandbox=sandbox) if about.organ_id else "",
        "code": _line(about.code),
        "issued": None if about.promulgated is None else compose.days(about.promulgated),
        "id": about.document_id or None,
    }


def _line(text: str) -> str:
    """One line: what was wrapped is one value."""
    return " ".join(text.split())


def _once(found: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(found))
