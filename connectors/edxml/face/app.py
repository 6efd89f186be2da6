"""The face's addresses, each at ``/`` and at ``/v1/``, by GET or POST; parameters in the query, the headers or JSON.

Guarantees: nothing is answered but to who knows a secret; the body of a request isn't read before. A packet's success
means that the exchange has it durably, or that it waits, signed, on this disk. What arrives is taken in by a task
beside the application; while the exchange is away the lists are those of the book.

The dialects differ in `getEdoc`'s ``data``: base64 of the packet at ``/getEdoc``, an object with the packet's text at
``/v1/getEdoc``.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from connectors.edxml import metrics
from connectors.edxml.book import INITIAL, PROCESSING, TRANSPORT, Kind
from connectors.edxml.connector import Connector
from connectors.edxml.face import answers
from connectors.edxml.face.bodies import json_of, packet_into
from connectors.edxml.face.secrets import Secrets
from connectors.edxml.packet import VIETNAM
from exchange.errors import ExchangeError, Rejected, Unavailable
from exchange.sdk import GatewayRefused

EVERY_S = 2.0
"""How often what arrived is taken in."""
PAGE, PAGE_MAX = 100, 500
SENDS = 4
"""Packets on their way at a time; each holds at most a packet's bytes on the disk."""
GUESSES = 2
"""Secrets checked at a time: each takes some 50 ms of a core, which guessing mustn't fill."""
AGENCIES_S = 600.0
CHUNK_BYTES = 57 * 1024
BOTH = ["GET", "POST"]
_BREAKING = frozenset({"edxml.too_large", "edxml.too_slow"})
"""Refusals of a body that isn't read to its end; the connection ends with them."""

log = structlog.get_logger(__name__)


class Face:
    """What the addresses work with."""

    def __init__(self, connector: Connector, secrets: Secrets) -> None:
        self.connector = connector
        self.secrets = secrets
        self.sends = asyncio.Semaphore(SENDS)
        self.guesses = asyncio.Semaphore(GUESSES)
        self._agencies: list[dict[str, Any]] = []
        self._agencies_until = 0.0

    async def follow(self) -> None:
        """Take in what arrives, until cancelled; raises what is a bug."""
        while True:
            try:
                await asyncio.to_thread(self.connector.receive)
            except (Unavailable, GatewayRefused) as exc:
                log.warning("edxml.not_received", code=exc.code)
            await asyncio.sleep(EVERY_S)

    async def agencies(self) -> list[dict[str, Any]]:
        """All open agencies, as of the last ten minutes."""
        if time.monotonic() > self._agencies_until:
            listed = await asyncio.to_thread(self.connector.agencies)
            self._agencies, self._agencies_until = listed, time.monotonic() + AGENCIES_S
        return self._agencies


def create_app(face: Face) -> FastAPI:
    """The application; `Face.follow` must run beside it."""
    app = FastAPI(title="edXML face of the exchange", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.face = face
    for prefix in ("", "/v1"):
        app.add_api_route(f"{prefix}/sendEdoc", send_edoc, methods=["POST"])
        app.add_api_route(f"{prefix}/getReceivedEdocList", received_list, methods=BOTH)
        app.add_api_route(f"{prefix}/getSentEdocList", sent_list, methods=BOTH)
        app.add_api_route(f"{prefix}/updateStatus", update_status, methods=["POST"])
        app.add_api_route(f"{prefix}/getAgenciesList", agencies_list, methods=BOTH)
    app.add_api_route("/v1/syncReceivedEdocList", received_list, methods=BOTH)
    app.add_api_route("/getEdoc", get_edoc, methods=BOTH)
    app.add_api_route("/v1/getEdoc", get_edoc_v1, methods=BOTH)
    app.add_api_route("/metrics", figures, methods=["GET"])
    app.add_exception_handler(ExchangeError, _on_ours)
    app.add_exception_handler(Exception, _on_bug)
    return app


async def known_system(request: Request) -> Face:
    """The face, for a system that knows its secret; Rejected ``edxml.credentials``."""
    face: Face = request.app.state.face
    system_id, secret = request.headers.get("x-systemid", ""), request.headers.get("x-secretkey", "")
    if face.secrets.was_right(system_id, secret):
        return face
    async with face.guesses:
        if await asyncio.to_thread(face.secrets.is_right, system_id, secret):
            return face
    raise Rejected("edxml.credentials", system_id[:40])


FaceHere = Annotated[Face, Depends(known_system)]


async def send_edoc(request: Request, face: FaceHere) -> Response:
    """Send a packet, a document's or a status message's: what it is, it says itself."""
    async with face.sends:
        with face.connector.workplace() as folder:
            source = folder / "packet.edxml"
            await packet_into(request, source, face.connector.limits.packet_bytes)
            row = await asyncio.to_thread(face.connector.send, source)
    return JSONResponse(answers.done(docId=row.doc_id, DocId=row.doc_id))


async def received_list(request: Request, face: FaceHere) -> Response:
    """Packets for the agency, newest first, by kind and days."""
    asked = await _Asked.of(request)
    rows = face.connector.book.received_list(asked.kind, *asked.days, *asked.page)
    listed = [answers.received(row, face.connector.agency.code) for row in rows]
    return JSONResponse(answers.done(count=len(listed), data=listed))


async def sent_list(request: Request, face: FaceHere) -> Response:
    """Packets of the agency's own, newest first, with what each recipient said."""
    asked = await _Asked.of(request)
    book = face.connector.book
    rows = book.sent_list(asked.kind, *asked.days, *asked.page)
    listed = [item for row in rows for item in answers.sent(row, book.said(row.thread), face.connector.agency.code)]
    return JSONResponse(answers.done(count=len(listed), data=listed))


async def get_edoc(request: Request, face: FaceHere) -> Response:
    """A packet, base64."""
    path, _ = await _fetched(request, face)
    return _streamed(answers.done(data=_HERE), _base64(path))


async def get_edoc_v1(request: Request, face: FaceHere) -> Response:
    """A packet, as text in an object."""
    path, doc_id = await _fetched(request, face)
    row = face.connector.book.received(doc_id)
    said = {} if row is None else {"from": row.sender, "edocCode": row.number, "edocAbstract": row.subject}
    return _streamed(answers.done(data={"docId": doc_id, **said, "edxml": _HERE}), _escaped(path))


async def update_status(request: Request, face: FaceHere) -> Response:
    """How far the system is (done, fail …), or a status code (02, 03 …) to be signed and said to the sender."""
    asked = await _Asked.of(request)
    doc_id, status = asked.text("docId"), asked.text("status").strip()
    if status.upper() in TRANSPORT:
        if face.connector.book.received(doc_id) is None:
            raise Rejected("edxml.doc_unknown", doc_id[:64])
        face.connector.book.confirm(doc_id, status.upper(), int(time.time() * 1000))
    elif status.isascii() and status.isdigit():
        reason = asked.text("description") or asked.text("reason")
        await asyncio.to_thread(face.connector.acknowledge, doc_id, int(status[:4]), reason)
    else:
        raise Rejected("edxml.status_unknown", status[:40])
    return JSONResponse(answers.done(docId=doc_id, DocId=doc_id))


async def agencies_list(face: FaceHere) -> Response:
    """All agencies that documents can be sent to."""
    listed = [answers.agency(one) for one in await face.agencies()]
    return JSONResponse(answers.done(count=len(listed), data=listed))


async def figures() -> Response:
    """For Prometheus; numbers only, so without a secret."""
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


class _Asked:
    """A request's parameters, wherever they stand; their names' case doesn't matter."""

    def __init__(self, found: dict[str, str]) -> None:
        self._found = {name.lower(): value for name, value in found.items()}

    @classmethod
    async def of(cls, request: Request) -> _Asked:
        body = await json_of(request) if request.method == "POST" else {}
        said = {name: value for name, value in body.items() if isinstance(value, str | int)}
        return cls({**request.headers, **request.query_params, **{name: str(value) for name, value in said.items()}})

    def text(self, name: str) -> str:
        return self._found.get(name.lower(), "")

    @property
    def kind(self) -> Kind:
        return "status" if self.text("messageType").lower() == "status" else "edoc"

    @property
    def days(self) -> tuple[int, int]:
        """From the first day's beginning to the last one's end, ms."""
        since, until = self._day("fromDate"), self._day("toDate")
        end = (1 << 62) if until is None else _ms(until + timedelta(days=1))
        return 0 if since is None else _ms(since), end

    @property
    def page(self) -> tuple[int, int]:
        """How many, and how many before them."""
        size = min(self._number("pageSize", PAGE), PAGE_MAX)
        return size, size * (self._number("pageIndex", 1) - 1)

    def _day(self, name: str) -> datetime | None:
        text = self.text(name)[:10].replace("-", "/")
        try:
            return datetime.strptime(text, "%Y/%m/%d").replace(tzinfo=VIETNAM) if text else None
        except ValueError as exc:
            raise Rejected("edxml.request", f"{name} {text}") from exc

    def _number(self, name: str, default: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1_000_000):
            raise Rejected("edxml.request", f"{name} {text[:20]}")
        return int(text)


async def _fetched(request: Request, face: Face) -> tuple[Path, str]:
    """The packet's file; whoever gets it is processing it."""
    doc_id = (await _Asked.of(request)).text("docId")
    path = face.connector.packet(doc_id)
    row = face.connector.book.received(doc_id)
    if row is not None and row.transport == INITIAL:
        face.connector.book.confirm(doc_id, PROCESSING, int(time.time() * 1000))
    return path, doc_id


_HERE = "\u0001"
"""Where in an answer the packet's text goes."""


def _streamed(answer: dict[str, Any], pieces: Iterator[bytes]) -> Response:
    """An answer with a text of any length in it."""
    before, _, after = json.dumps(answer, ensure_ascii=False).partition(json.dumps(_HERE)[1:-1])

    def flow() -> Iterator[bytes]:
        yield before.encode()
        yield from pieces
        yield after.encode()

    return StreamingResponse(flow(), media_type="application/json")


def _base64(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield base64.b64encode(chunk)


def _escaped(path: Path) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield json.dumps(decoder.decode(chunk), ensure_ascii=False)[1:-1].encode()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


async def _on_ours(_: Request, exc: Exception) -> Response:
    if not isinstance(exc, ExchangeError):
        raise TypeError(type(exc).__name__)
    code = answers.code_of(exc)
    where = exc.detail if exc.code == "edxml.field_missing" else ""
    status = 401 if code == answers.BAD_CREDENTIALS else 503 if isinstance(exc, Unavailable) else 200
    if status == 200 and code == answers.SYSTEM:
        status = 500
    write = log.error if status >= 500 else log.info
    write("edxml.refused", code=exc.code, detail=exc.detail[:500], provincial=code)
    headers = {"connection": "close"} if exc.code in _BREAKING else None
    return JSONResponse(answers.refused(code, exc.code, where), status, headers)


async def _on_bug(request: Request, exc: Exception) -> Response:
    log.critical("edxml.bug", path=request.url.path, error=repr(exc)[:500])
    return JSONResponse(answers.refused(answers.SYSTEM, "internal"), 500)
