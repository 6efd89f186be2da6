"""The first pass over a packet, in constant memory: its attachments' content into files, all the rest as slim bytes.

Guarantees: whatever comes out is well-formed XML in UTF-8 without a document type, so without entities, and within
`Limits`; slim bytes are the packet's own bytes with the base64 cut out, nothing rewritten. An attachment is what was
attached: base64 undone, and the ZIP around it where its one entry is named by a UUID, as the national SDK packs.
Does not look at what the packet says: `packet` does.

Source: XML 1.0 (5th edition), read by expat; RFC 4648 §4; APPNOTE.TXT 6.3 §4.3.16; the rule for ZIPs is our reading of
real packets, where the content type is unreliable.
"""

from __future__ import annotations

import binascii
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple
from uuid import UUID
from xml.parsers import expat

from connectors.edxml.limits import Limits
from exchange.errors import Rejected

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
CHUNK_BYTES = 64 * 1024
PADDING_MAX = 2
_CONTENT = tuple(
    f"{NAMESPACE} {name}" for name in ("edXML", "AttachmentEncoded", "Attachment", "ContentTransferEncoded")
)
_SPACE = str.maketrans("", "", " \t\r\n")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ZIP = b"PK\x03\x04"
_END = struct.Struct("<4s4H2LH")
"""A ZIP's end record: signature, this disk, the directory's, entries here, all entries, directory bytes, its offset,
comment bytes."""
_END_SIGNATURE = b"PK\x05\x06"
_COMMENT_BYTES_MAX = 65_535
_DIRECTORY_BYTES_MAX = 1024
_ENCRYPTED = 0x1


class Slim(NamedTuple):
    """A packet taken apart. `contents`: the attachments' bytes, in the packet's order; None for one without content;
    `cuts`: where in the packet each content stands, first byte and the one after the last."""

    xml: bytes
    contents: list[Path | None]
    cuts: list[tuple[int, int]]


def read(source: Path, folder: Path, limits: Limits) -> Slim:
    """Take a packet apart; the attachments' content goes into files in `folder`.

    Raises: Rejected ``edxml.too_large``, ``edxml.encoding``, ``edxml.not_well_formed``, ``edxml.dtd``,
        ``edxml.too_deep``, ``edxml.too_many``, ``edxml.base64``, ``edxml.zip_*``: whoever made the packet must act.
    """
    size = source.stat().st_size
    if size > limits.packet_bytes:
        raise Rejected("edxml.too_large", f"{size} > {limits.packet_bytes} bytes")
    with source.open("rb") as stream:
        cutting = _Pass(folder, limits)
        cutting.run(stream)
        xml = b"".join(_between(stream, cutting.cuts, size, limits))
    left = limits.inflated_bytes
    contents: list[Path | None] = []
    for path in cutting.contents:
        if path is not None:
            left -= _unwrap(path, left)
        contents.append(path)
    return Slim(xml, contents, cutting.cuts)


class _Pass:
    """One run of expat. `cuts`: byte ranges of base64; `contents`: a file for each Attachment, raw."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.cuts: list[tuple[int, int]] = []
        self.contents: list[Path | None] = []
        self._folder = folder
        self._limits = limits
        self._elements = 0
        self._path: list[str] = []
        self._content: _Content | None = None
        self._start = -1
        self._expat = expat.ParserCreate(namespace_separator=" ")
        self._expat.buffer_text = False
        self._expat.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._expat.XmlDeclHandler = self._declared
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._expat.StartElementHandler = self._open
        self._expat.EndElementHandler = self._close
        self._expat.CharacterDataHandler = self._text
        self._expat.StartCdataSectionHandler = self._mark
        self._expat.CommentHandler = lambda _: self._mark()
        self._expat.ProcessingInstructionHandler = lambda *_: self._mark()

    def run(self, stream: BinaryIO) -> None:
        """Read to the end."""
        try:
            first = stream.read(CHUNK_BYTES)
            if first[:2] in _UTF16:
                raise Rejected("edxml.encoding", "UTF-16")
            self._expat.Parse(first, False)
            while chunk := stream.read(CHUNK_BYTES):
                self._expat.Parse(chunk, False)
            self._expat.Parse(b"", True)
        except expat.ExpatError as exc:
            raise Rejected("edxml.not_well_formed", str(exc)) from exc
        finally:
            if self._content is not None:
                self._content.file.close()

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in {"utf-8", "utf8"}:
            raise Rejected("edxml.encoding", encoding[:40])

    def _doctype(self, *_: object) -> None:
        raise Rejected("edxml.dtd", f"at byte {self._expat.CurrentByteIndex}")

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if self._content is not None:
            raise Rejected("edxml.base64", "an element within the content")
        self._elements += 1
        if len(self._path) >= self._limits.depth:
            raise Rejected("edxml.too_deep", f"> {self._limits.depth}")
        if self._elements > self._limits.elements:
            raise Rejected("edxml.too_many", f"> {self._limits.elements} elements")
        if len(attributes) > self._limits.attributes:
            raise Rejected("edxml.too_many", f"{len(attributes)} attributes")
        self._path.append(name)
        if tuple(self._path) == _CONTENT[:3]:
            if len(self.contents) >= self._limits.attachments:
                raise Rejected("edxml.too_many", f"> {self._limits.attachments} attachments")
            self.contents.append(None)
        elif tuple(self._path) == _CONTENT:
            if self.contents[-1] is not None:
                raise Rejected("edxml.repeated", "Attachment/ContentTransferEncoded")
            path = self._folder / f"content-{len(self.contents)}"
            self.contents[-1] = path
            self._content = _Content(path)
            self._start = -1

    def _text(self, text: str) -> None:
        if self._content is not None:
            self._mark()
            self._content.take(text)

    def _mark(self) -> None:
        """Remember where the content begins, with whatever it begins with."""
        if self._content is not None and self._start < 0:
            self._start = self._expat.CurrentByteIndex

    def _close(self, _: str) -> None:
        self._path.pop()
        if self._content is not None:
            content, self._content = self._content, None
            content.end()
            end = self._expat.CurrentByteIndex
            self.cuts.append((self._start if self._start >= 0 else end, end))


class _Content:
    """Base64 text into a file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self._rest = ""
        self._is_padded = False

    def take(self, text: str) -> None:
        """The next piece; Rejected ``edxml.base64``."""
        text = self._rest + text.translate(_SPACE)
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        if not whole:
            return
        if self._is_padded:
            raise Rejected("edxml.base64", "more after its padding")
        self._is_padded = text[whole - 1] == "="
        if text.count("=") > PADDING_MAX:
            raise Rejected("edxml.base64", "padding without an end")
        try:
            self.file.write(binascii.a2b_base64(text[:whole].encode("ascii"), strict_mode=True))
        except ValueError as exc:
            raise Rejected("edxml.base64", str(exc)) from exc

    def end(self) -> None:
        """Nothing comes after it; Rejected ``edxml.base64``."""
        self.file.close()
        if self._rest:
            raise Rejected("edxml.base64", "cut")


def _between(stream: BinaryIO, cuts: list[tuple[int, int]], size: int, limits: Limits) -> Iterator[bytes]:
    """The bytes outside the cuts."""
    kept = size - sum(end - start for start, end in cuts)
    if kept > limits.slim_bytes:
        raise Rejected("edxml.too_large", f"{kept} > {limits.slim_bytes} bytes besides its attachments")
    position = 0
    for start, end in (*cuts, (size, size)):
        stream.seek(position)
        yield stream.read(start - position)
        position = end


def _unwrap(path: Path, most_bytes: int) -> int:
    """Undo the ZIP around a file in place, if it is one that the national SDK made; returns the file's bytes.

    Raises: Rejected ``edxml.zip_damaged``, ``edxml.zip_encrypted``, ``edxml.zip_bomb``.
    """
    size = path.stat().st_size
    if size > most_bytes:
        raise Rejected("edxml.zip_bomb", f"> {most_bytes} bytes left")
    with path.open("rb") as stream:
        if stream.read(len(_ZIP)) != _ZIP:
            return size
        entries, directory_bytes = _end_record(stream, size)
    if entries != 1 or directory_bytes > _DIRECTORY_BYTES_MAX:
        return size  # an office file, or an archive that somebody attached
    draft = path.with_name(f"{path.name}.part")
    try:
        with zipfile.ZipFile(path) as archive:
            [entry] = archive.infolist()
            if not _is_uuid(entry.filename):
                return size
            if entry.flag_bits & _ENCRYPTED:
                raise Rejected("edxml.zip_encrypted", entry.filename[:80])
            inflated = 0
            with archive.open(entry) as stream, draft.open("wb") as target:
                while chunk := stream.read(CHUNK_BYTES):
                    inflated += len(chunk)
                    if inflated > most_bytes:
                        raise Rejected("edxml.zip_bomb", f"> {most_bytes} bytes")
                    target.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError) as exc:
        raise Rejected("edxml.zip_damaged", repr(exc)[:200]) from exc
    draft.replace(path)
    return inflated


def _end_record(stream: BinaryIO, size: int) -> tuple[int, int]:
    """How many entries a ZIP has and how large their directory is, before anything believes it."""
    stream.seek(max(0, size - _END.size - _COMMENT_BYTES_MAX))
    tail = stream.read()
    place = tail.rfind(_END_SIGNATURE)
    if place < 0 or len(tail) - place < _END.size:
        raise Rejected("edxml.zip_damaged", "no end record")
    _, _, _, _, entries, directory_bytes, _, _ = _END.unpack_from(tail, place)
    return entries, directory_bytes


def _is_uuid(name: str) -> bool:
    path = PurePosixPath(name)
    if len(path.parts) != 1:
        return False
    try:
        return str(UUID(path.stem)) == path.stem.lower()
    except ValueError:
        return False
