"""A confidential document: its text and files encrypted to its recipients, what routes it in the clear.

Guarantees: the exchange, and whoever reads its topics, tables and store, sees sender, recipients, subject, numbers,
dates and sizes, and neither text nor file names nor files. The first attachment, ``content.p7m``, holds the text and
the list of files; each other one is a file. The content names the document it belongs to, so that nobody passes a
copied ciphertext off under a document of its own. Does not: encrypt the subject, which every clerk on the way reads:
choose one that tells nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from exchange.errors import Rejected
from exchange.statements import Fields
from exchange.statements.document import ATTACHMENTS_MAX, check_attachment
from exchange.statements.text import paragraph

MEDIA_TYPE = "application/pkcs7-mime; smime-type=authEnveloped-data"
CONTENT_NAME = "content.p7m"
TEXT_MAX = 100_000
"""Characters of the text; in the clear it has room for 500."""
CONTENT_BYTES_MAX = 2 * 1024 * 1024

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Content:
    """What only the recipients read. `files`: as attachments are listed, in the order of the attachments."""

    text: str = field(repr=False)
    files: list[Fields] = field(repr=False)


def is_confidential(fields: Fields) -> bool:
    """Whether a document's text and files are encrypted; so its sender says, and signed."""
    attached = fields.get("attachments", [])
    return bool(attached) and (attached[0]["name"], attached[0]["media_type"]) == (CONTENT_NAME, MEDIA_TYPE)


def write_content(sender: str, statement_id: str, content: Content) -> bytes:
    """The bytes to encrypt. Raises: Rejected ``text.*``, ``attachment.*``: the sender must act."""
    _check(content)
    files = [{**one, "sha256": one["sha256"].hex()} for one in content.files]
    whole = {"version": 1, "sender": sender, "id": statement_id, "text": content.text, "files": files}
    return json.dumps(whole, ensure_ascii=False).encode()


def read_content(data: bytes, fields: Fields) -> Content:
    """The content of the document with these fields.

    Raises: Rejected ``encryption.malformed``; ``encryption.other_document``: it was taken from another one.
    """
    try:
        said: dict[str, Any] = json.loads(data)
        files: list[Fields] = [
            {
                "name": str(one["name"]),
                "media_type": str(one["media_type"]),
                "size": int(one["size"]),
                "sha256": bytes.fromhex(one["sha256"]),
            }
            for one in said["files"]
        ]
        content = Content(str(said["text"]), files)
        whose, version = (said["sender"], said["id"]), said["version"]
    except _UNREADABLE as exc:
        raise Rejected("encryption.malformed", repr(exc)[:200]) from exc
    if version != 1:
        raise Rejected("encryption.malformed", f"version {version!r}"[:80])
    if whose != (fields["sender"], fields["id"]):
        raise Rejected("encryption.other_document", f"the content of {whose}"[:200])
    if len(files) != len(fields["attachments"]) - 1 or any(len(one["sha256"]) != 32 for one in files):
        raise Rejected("encryption.malformed", f"{len(files)} files for {len(fields['attachments'])} attachments")
    _check(content)
    return content


def _check(content: Content) -> None:
    paragraph("content", content.text, TEXT_MAX)
    if len(content.files) > ATTACHMENTS_MAX - 1:
        raise Rejected("attachment.too_many", f"{len(content.files)} > {ATTACHMENTS_MAX - 1}")
    for one in content.files:
        check_attachment(one)
