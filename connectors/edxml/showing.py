"""A packet as `exchange edxml inspect` shows it: as JSON, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from hashlib import file_digest
from typing import Any

from connectors.edxml.codes import BUSINESS
from connectors.edxml.packet import Attachment, Document, Packet


def described(packet: Packet) -> dict[str, Any]:
    """All that was read, in plain values. Reads the attachments' files."""
    is_document = isinstance(packet.header, Document)
    return {
        "kind": "document" if is_document else "status",
        "sender": asdict(packet.sender),
        "header": _plain(asdict(packet.header)),
        "trace": [{"organ_id": organ_id, "timestamp": moment} for organ_id, moment in packet.trace],
        "business": _plain({**asdict(packet.business), "type": BUSINESS[packet.business.type]})
        if is_document
        else None,
        "attachments": [_attachment(one) for one in packet.attachments],
        "warnings": list(packet.warnings),
    }


def lines(shown: dict[str, Any]) -> Iterator[str]:
    """The same for people, in short."""
    header = shown["header"]
    yield f"from        {_organ(shown['sender'])}"
    if shown["kind"] == "status":
        about = header["response_for"]
        yield f"status      {header['code']:02d} {header['description']}"
        yield f"about       {about['code']} of {about['organ_id']} ({about['document_id']})"
    else:
        for organ in header["to"]:
            yield f"to          {_organ(organ)}"
        yield f"document    {header['number']}/{header['notation']}, {header['promulgated'] or 'without a date'}"
        yield f"subject     {header['subject']}"
        yield f"business    {shown['business']['type']} {shown['business']['reason']}".rstrip()
    for one in shown["attachments"]:
        yield f"attachment  {one['name']}  {one['size']:,} bytes  sha256 {one['sha256']}"
    for warning in shown["warnings"]:
        yield f"warning     {warning}"


def _organ(organ: dict[str, str]) -> str:
    return f"{organ['id']}  {organ['name']}".rstrip()


def _attachment(one: Attachment) -> dict[str, Any]:
    with one.content.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return {
        "content_id": one.content_id,
        "name": one.name,
        "media_type": one.media_type,
        "description": one.description,
        "size": one.content.stat().st_size,
        "sha256": digest,
    }


def _plain(value: Any) -> Any:  # noqa: ANN401  a JSON tree
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
