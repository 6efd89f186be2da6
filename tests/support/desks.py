"""A desk for tests without an exchange: a real agency whose gateway is away, documents as if come."""

from __future__ import annotations

import uuid
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from connectors.desk.clerk import Clerk
from connectors.shared.arrivals import FILES, STATEMENT, name_of, opened, shown
from connectors.shared.files import private, write_json
from connectors.shared.pdf import found_in
from exchange.sdk import Received, compose
from exchange.statements.compose import days, encode
from exchange.statements.document import thread_key


def place(clerk: Clerk, subject: str, files: dict[str, bytes] | None = None, **more: Any) -> str:  # noqa: ANN401
    """A document from H26 in the desk's inbox; its name there."""
    content = files or {}
    attached = [
        compose.attachment(name, "application/octet-stream", len(body), sha256(body).digest())
        for name, body in content.items()
    ]
    fields = compose.document(
        "H26", str(uuid.uuid4()), [clerk.agency.code], subject, signed_ms=1_780_000_000_000, issued=date(2026, 11, 20),
        attachments=attached,
    ) | {name: days(value) if isinstance(value, date) else value for name, value in more.items()}  # fmt: skip
    at = int(sha256(fields["id"].encode()).hexdigest()[:8], 16)
    received = Received(
        "document", fields, thread_key(fields), encode("document", fields), "documents", 0, at,
        1_780_000_000_000 + at % 100_000_000, 1_780_000_000_000, "cursor",
    )  # fmt: skip
    name = name_of(received)
    folder = clerk.items / name / FILES
    private(folder)
    for file, body in content.items():
        (folder / file).write_bytes(body)
    said = shown(received) | opened(
        received, None, [Path(file) for file in content], [found_in(clerk.agency, folder / file) for file in content]
    )  # fmt: skip
    write_json(clerk.items / name / STATEMENT, said)
    clerk._took(name, said)
    return name


def only_file(folder: Path) -> Path:
    """The one file in a folder."""
    [path] = folder.iterdir()
    return path
