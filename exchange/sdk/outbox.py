"""The local outbox: signed records and their attachments on disk until the exchange has them.

Guarantees: whatever `put` returned for is sent, in order, however often the process is killed meanwhile; attachments
are copied, so that what was signed is what is sent. A record that the gateway refuses is set aside with its code and
doesn't hold up the others.
"""

from __future__ import annotations

import json
import mimetypes
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from exchange.sdk.entries import Told
from exchange.sdk.journal import Entry, Journal, sync_folder
from exchange.signatures import decode_record
from exchange.statements import KINDS, AttachmentRef, Fields, identify

CHUNK_BYTES = 1024 * 1024


class Waiting(NamedTuple):
    """A record that waits, opened. `record`: without storage receipts."""

    entry: Entry
    kind: str
    fields: Fields
    statement: bytes
    signatures: list[Fields]
    attachments: list[AttachmentRef]


def media_type(name: str) -> str:
    """The type of a file, by its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def pieces(source: Path, told: Told) -> Iterator[bytes]:
    """A file in chunks. OSError if it can't be read."""
    done, total = 0, source.stat().st_size
    with source.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            told(f"Keeping {source.name}", done, total)


class Outbox:
    """The outbox in a folder; see `Journal`."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder)
        self._files = folder / "files"
        self._refused = folder / "refused"
        for place in (self._files, self._refused):
            place.mkdir(mode=0o700, exist_ok=True)
        self._wanted: Counter[bytes] = Counter()
        for entry in self._journal:
            self._wanted.update(one.sha256 for one in _opened(entry).attachments)
        self._sweep()

    def __len__(self) -> int:
        return len(self._journal)

    def keep(self, source: Path, told: Told) -> AttachmentRef:
        """Copy a file in; call `put` with the record that attaches it next. OSError if it can't be read."""
        return self.take(pieces(source, told))

    def take(self, chunks: Iterable[bytes]) -> AttachmentRef:
        """Keep an attachment that comes in chunks; call `put` next. Whatever `chunks` raises leaves nothing of use."""
        draft = self._files / f"{secrets.token_hex(8)}.part"
        hashed, size = sha256(), 0
        with draft.open("wb") as target:
            for chunk in chunks:
                hashed.update(chunk)
                target.write(chunk)
                size += len(chunk)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(self.path(hashed.digest()))
        sync_folder(self._files)
        return AttachmentRef(hashed.digest(), size)

    def path(self, digest: bytes) -> Path:
        """Where an attachment's bytes wait."""
        return self._files / digest.hex()

    def put(self, records: Sequence[bytes]) -> list[tuple[int, int]]:
        """Take signed records; they are on disk when this returns with their places."""
        self._journal.append(records)
        entries = self._journal.last(len(records))
        for entry in entries:
            self._wanted.update(one.sha256 for one in _opened(entry).attachments)
        return [(entry.segment, entry.end) for entry in entries]

    def first(self, count: int, most_bytes: int) -> list[Waiting]:
        """The oldest that wait."""
        return [_opened(entry) for entry in self._journal.first(count, most_bytes)]

    def done(self, batch: Sequence[Waiting]) -> None:
        """The exchange has them, or they were set aside: forget them and the files that nobody else needs."""
        self._journal.done(batch[-1].entry)
        for one in batch:
            self._wanted.subtract(ref.sha256 for ref in one.attachments)
        self._sweep()

    def set_aside(self, one: Waiting, code: str) -> None:
        """Keep a refused record, and why, under ``refused/``."""
        stem = self._refused / f"{one.entry.segment}-{one.entry.end}"
        why = json.dumps({"id": one.fields["id"], "kind": one.kind, "code": code}, ensure_ascii=False)
        for path, content in ((f"{stem}.record", one.entry.record), (f"{stem}.json", why.encode())):
            with Path(path).open("wb") as target:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())

    def refused(self) -> dict[str, str]:
        """The codes of what was set aside, by the statement's id."""
        said = [json.loads(path.read_text("utf-8")) for path in self._refused.glob("*.json")]
        return {one["id"]: one["code"] for one in said}

    def close(self) -> None:
        """Let another process have it."""
        self._journal.close()

    def _sweep(self) -> None:
        for path in self._files.iterdir():
            if path.suffix or self._wanted[bytes.fromhex(path.name)] <= 0:
                path.unlink()
        self._wanted += Counter()  # without what nobody wants


def _opened(entry: Entry) -> Waiting:
    record = decode_record(entry.record)
    raw: bytes = record["statement"]
    found = identify(raw)
    fields = found.decode(raw)
    attachments = KINDS[found.name].attachments(fields)
    return Waiting(entry, found.name, fields, raw, record["signatures"], attachments)
