"""A post's body: ``multipart/form-data`` (RFC 7578) with the statement and its files, streamed from the disk.

Guarantees: the same item has the same bytes at every attempt; memory doesn't grow with a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from connectors.shared.arrivals import FILES, STATEMENT

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted. `digest`: SHA-256 of its bytes; `size`: their number."""

    parts: list[tuple[bytes, Path]]
    end: bytes
    media_type: str
    size: int
    digest: bytes

    def __iter__(self) -> Iterator[bytes]:
        return _flow(self.parts, self.end)


def body_of(folder: Path) -> Body:
    """The body for an item that arrived: the part ``statement`` (JSON), then a part ``file`` for each of its files."""
    boundary = f"exchange-{sha256(folder.name.encode()).hexdigest()[:40]}"
    files = sorted((folder / FILES).iterdir(), key=lambda path: path.name)
    listed = [("statement", folder / STATEMENT, "application/json")]
    listed += [("file", path, "application/octet-stream") for path in files]
    parts = []
    for number, (name, path, media_type) in enumerate(listed):
        head = f'Content-Disposition: form-data; name="{name}"; filename="{_quoted(path.name)}"'
        begin = "" if number == 0 else "\r\n"
        parts.append((f"{begin}--{boundary}\r\n{head}\r\nContent-Type: {media_type}\r\n\r\n".encode(), path))
    end = f"\r\n--{boundary}--\r\n".encode()
    hashed, size = sha256(), 0
    for chunk in _flow(parts, end):
        hashed.update(chunk)
        size += len(chunk)
    return Body(parts, end, f"multipart/form-data; boundary={boundary}", size, hashed.digest())


def _flow(parts: list[tuple[bytes, Path]], end: bytes) -> Iterator[bytes]:
    for head, path in parts:
        yield head
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    yield end


def _quoted(name: str) -> str:
    """A file's name as browsers write it (WHATWG): UTF-8, with the three characters that would end it escaped."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
