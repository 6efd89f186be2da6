"""The desk's pages: inbox, a document, the register, sent documents, a form to send. Forms and links only.

Guarantees: what a statement says is text on a page, never markup (autoescape). A form sent twice does its work once. A
refusal comes as a page that says what to do, with what was typed still in the form.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from connectors.desk import words
from connectors.desk.book import REFUSED
from connectors.desk.clerk import VIETNAM, Clerk, Letter, fold
from connectors.desk.guard import FIELD, OPEN, Guarded, Keeper
from exchange.errors import ExchangeError, Rejected, Unavailable
from exchange.sdk import TYPES

HERE = Path(__file__).parent
LANGUAGE = "desk-language"
_STATUS = {"desk.unknown": 404, "desk.form": 403, "attachment.differs": 409, "desk.decided": 409}

log = structlog.get_logger(__name__)


class Pages:
    """What the pages work with. `is_online`: whether the exchange answered lately."""

    def __init__(self, clerk: Clerk, keeper: Keeper, is_online: Callable[[], bool]) -> None:
        self.clerk = clerk
        self.keeper = keeper
        self.is_online = is_online
        self._pages = Environment(
            loader=PackageLoader("connectors.desk", "pages"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._pages.filters |= {"day": day, "time": clock, "size": size}

    def show(self, request: Request, template: str, status: int = 200, **more: Any) -> HTMLResponse:  # noqa: ANN401
        """A page with all that each of them needs."""
        language = _language(request)
        clerk = self.clerk

        def t(word: str, *values: object) -> str:
            return words.say(language, word, *values)

        said = {
            "t": t, "language": language, "path": request.url.path, "code": clerk.agency.code, "form": self.keeper.form,
            "agency": clerk.name(clerk.agency.code), "name": clerk.name, "unread": clerk.book.unread(), "error": None,
            "is_online": self.is_online(), "gaps": clerk.agency.gaps(), "query": dict(request.query_params),
            "limits": clerk.limits,
            "done": request.query_params.get("done"),
        }  # fmt: skip
        return HTMLResponse(self._pages.get_template(template).render(said | more), status)

    def sorry(self, request: Request, exc: ExchangeError) -> Response:
        """A refusal as a page."""
        return self.show(request, "sorry.html", _STATUS.get(exc.code, 422), error=told(request, exc))


def create_app(clerk: Clerk, keeper: Keeper, is_online: Callable[[], bool]) -> Guarded:
    """The application behind its guard; `Clerk.turn` must be called beside it."""
    pages = Pages(clerk, keeper, is_online)
    app = Starlette(
        routes=[
            Route(OPEN, open_),
            Route("/", inbox),
            Route("/in/{name}", document),
            Route("/in/{name}/file/{number:int}", download),
            Route("/in/{name}/accept", accept, methods=["POST"]),
            Route("/in/{name}/refuse", refuse, methods=["POST"]),
            Route("/in/{name}/answer", answer, methods=["POST"]),
            Route("/register", register),
            Route("/sent", outbox),
            Route("/sent/{id}", sent),
            Route("/send", send_form),
            Route("/send", send, methods=["POST"]),
            Route("/agencies", agencies),
            Route("/unread", unread),
            Route("/language", language),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        exception_handlers={Rejected: _refused, Unavailable: _refused, HTTPException: _missing},
    )
    app.state.pages = pages
    return Guarded(app, keeper, clerk.limits.body_bytes)


def open_(request: Request) -> Response:
    """Exchange the address' token for the cookie."""
    pages = _pages(request)
    session = pages.keeper.opened(request.query_params.get("token", ""))
    if session is None:
        return Response("401", 401, media_type="text/plain")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(pages.keeper.cookie, session, httponly=True, samesite="strict", path="/")
    return answer


def inbox(request: Request) -> Response:
    """Documents for us."""
    pages = _pages(request)
    query = request.query_params
    only_new, find = query.get("show") != "all", query.get("find", "")[:100]
    number = _page(request)
    most = pages.clerk.limits.page
    found = pages.clerk.book.inbox(
        only_new=only_new and not find, find=fold(find), most=most + 1, skip=(number - 1) * most
    )
    return pages.show(
        request, "inbox.html", rows=found[:most], only_new=only_new and not find, find=find, page=number,
        has_more=len(found) > most,
    )  # fmt: skip


def document(request: Request) -> Response:
    """One document for us; whoever looks at it has read it."""
    pages = _pages(request)
    return _document(request, pages.clerk.shown(request.path_params["name"]))


def download(request: Request) -> Response:
    """An attachment, compared with what was signed before its first byte goes out."""
    name, path = _pages(request).clerk.file(request.path_params["name"], request.path_params["number"])
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    return FileResponse(path, headers=headers, media_type="application/octet-stream")


async def accept(request: Request) -> Response:
    """Enter a document in the register."""
    pages, form = await _form(request)
    typed = _field(form, "incoming").strip()
    name = request.path_params["name"]
    try:
        incoming = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 9 else 0
        await asyncio.to_thread(pages.clerk.accept, name, incoming)
    except (Rejected, Unavailable) as exc:
        return await asyncio.to_thread(_again, request, exc)
    return RedirectResponse(f"/in/{quote(name, safe='')}?done=accepted", 303)


async def refuse(request: Request) -> Response:
    """Refuse a document."""
    pages, form = await _form(request)
    name = request.path_params["name"]
    try:
        await asyncio.to_thread(pages.clerk.refuse, name, _field(form, "reason"))
    except (Rejected, Unavailable) as exc:
        return await asyncio.to_thread(_again, request, exc, reason=_field(form, "reason"))
    return RedirectResponse(f"/in/{quote(name, safe='')}?done=refused", 303)


async def answer(request: Request) -> Response:
    """Answer a recall, update or replacement."""
    pages, form = await _form(request)
    name, reason = request.path_params["name"], _field(form, "reason")
    try:
        await asyncio.to_thread(pages.clerk.answer, name, _field(form, "answer") == "agree", reason)
    except (Rejected, Unavailable) as exc:
        return await asyncio.to_thread(_again, request, exc, reason=reason)
    return RedirectResponse(f"/in/{quote(name, safe='')}?done=answered", 303)


def register(request: Request) -> Response:
    """A year's register of incoming documents."""
    pages = _pages(request)
    this = datetime.now(VIETNAM).year
    asked = request.query_params.get("year", "")
    year = int(asked) if asked.isascii() and asked.isdigit() and len(asked) == 4 else this
    years = sorted({this, *pages.clerk.book.years()}, reverse=True)
    return pages.show(request, "register.html", rows=pages.clerk.book.register(year), year=year, years=years)


def outbox(request: Request) -> Response:
    """Documents of ours, with who has acknowledged."""
    pages = _pages(request)
    number, most = _page(request), pages.clerk.limits.page
    found = pages.clerk.book.outbox(most + 1, (number - 1) * most)
    listed = [_answers(pages, row) for row in found[:most]]
    return pages.show(request, "sent.html", rows=listed, page=number, has_more=len(found) > most)


def sent(request: Request) -> Response:
    """One document of ours."""
    pages = _pages(request)
    row = pages.clerk.book.sent(request.path_params["id"])
    if row is None:
        raise Rejected("desk.unknown", request.path_params["id"][:100])
    return pages.show(request, "sent_one.html", fields=json.loads(row["fields"]), types=TYPES, **_answers(pages, row))


def send_form(request: Request) -> Response:
    """An empty form."""
    return _pages(request).show(request, "send.html", typed={}, id=str(uuid.uuid4()), types=TYPES)


async def send(request: Request) -> Response:
    """Sign and send a document."""
    pages = _pages(request)
    limits = pages.clerk.limits
    async with request.form(
        max_files=limits.files + 1, max_fields=limits.fields, max_part_size=limits.form_bytes
    ) as form:
        pages.keeper.require_form(form.get(FIELD))
        uploads = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
        kept = pages.clerk.uploads / uuid.uuid4().hex
        try:
            if len(uploads) > limits.files:
                raise Rejected("desk.too_many", str(len(uploads)))
            letter = _letter(form)
            files = await asyncio.to_thread(_kept, uploads, kept)
            await asyncio.to_thread(pages.clerk.send, letter, files)
        except (Rejected, Unavailable) as exc:
            typed = {name: value for name, value in form.items() if isinstance(value, str)}
            return pages.show(
                request, "send.html", 422, typed=typed, id=_field(form, "id"), types=TYPES, error=told(request, exc)
            )
        finally:
            await asyncio.to_thread(_swept, kept)
    return RedirectResponse(f"/sent/{quote(letter.id, safe='')}?{urlencode({'done': 'sent'})}", 303)


def agencies(request: Request) -> Response:
    """Agencies for the form's suggestions."""
    text = request.query_params.get("find", "").strip()
    found = _pages(request).clerk.find(text) if len(text) > 1 else []
    return JSONResponse([{"code": one["code"], "name": one["name"]} for one in found])


def unread(request: Request) -> Response:
    """How many documents nobody has looked at."""
    return JSONResponse(_pages(request).clerk.book.unread())


def language(request: Request) -> Response:
    """Switch the language, and go back."""
    chosen = request.query_params.get("to", "")
    back = request.query_params.get("back", "/")
    is_ours = back.startswith("/") and not back.startswith("//") and "\\" not in back and back.isprintable()
    answer = RedirectResponse(back if is_ours else "/", 303)
    if chosen in words.LANGUAGES:
        answer.set_cookie(LANGUAGE, chosen, max_age=31_536_000, httponly=True, samesite="strict", path="/")
    return answer


def told(request: Request, exc: ExchangeError) -> dict[str, str]:
    """What went wrong, for a clerk: a sentence, what it is about, and the code for whoever helps."""
    word = f"error.{exc.code}"
    text = words.say(_language(request), word)
    about = exc.detail if exc.code.startswith(("desk.recipient_", "text.", "pdf.")) else ""
    return {"text": "" if text == word else text, "about": about[:500], "code": exc.code}


def day(text: str | None) -> str:
    """A date as people write it here."""
    return "" if not text else date.fromisoformat(text).strftime("%d/%m/%Y")


def clock(ms: int) -> str:
    """A time of the exchange, in Vietnam's zone."""
    return "" if not ms else datetime.fromtimestamp(ms / 1000, VIETNAM).strftime("%H:%M %d/%m/%Y")


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}".replace(".", ",")
        amount /= 1000
    return f"{amount:.1f} GB".replace(".", ",")


def _document(request: Request, said: dict[str, Any], status: int = 200, **more: Any) -> Response:  # noqa: ANN401
    pages = _pages(request)
    name = request.path_params["name"]
    now = datetime.now(VIETNAM)
    pages.clerk.book.read(name, int(now.timestamp() * 1000))
    due = said["fields"].get("due")
    owner, _, first = said["thread"].partition("/")
    return pages.show(
        request, "document.html", status, row=pages.clerk.book.received(name), said=said, fields=said["fields"],
        types=TYPES,
        original=None if first == said["fields"]["id"] else pages.clerk.book.received_as(owner, first),
        is_late=due is not None and due < now.date().isoformat(), digest=_digest(said),
        incoming=pages.clerk.book.next_incoming(now.year), **{"reason": ""} | more,
    )  # fmt: skip


def _digest(said: dict[str, Any]) -> str:
    from base64 import b64decode
    from hashlib import sha256

    return sha256(b64decode(said["statement"])).hexdigest()


def _again(request: Request, exc: ExchangeError, reason: str = "") -> Response:
    """The document's page, with what went wrong."""
    if exc.code == "desk.unknown":
        return _pages(request).sorry(request, exc)
    said = _pages(request).clerk.shown(request.path_params["name"])
    return _document(request, said, _STATUS.get(exc.code, 422), error=told(request, exc), reason=reason)


def _answers(pages: Pages, row: Any) -> dict[str, Any]:  # noqa: ANN401  a row
    """A document of ours with what each recipient said last."""
    said = pages.clerk.book.said(row["id"])
    recipients = json.loads(row["recipients"])
    return {
        "row": row,
        "answers": [(code, said.get(code)) for code in recipients],
        "outstanding": [] if row["state"] == REFUSED else [code for code in recipients if code not in said],
        "files": json.loads(row["files"]),
    }


async def _form(request: Request) -> tuple[Pages, FormData]:
    """A form without files, if it is one of ours."""
    pages = _pages(request)
    limits = pages.clerk.limits
    form = await request.form(max_files=0, max_fields=limits.fields, max_part_size=limits.form_bytes)
    pages.keeper.require_form(form.get(FIELD))
    return pages, form


def _letter(form: FormData) -> Letter:
    due = _field(form, "due")
    try:
        by = date.fromisoformat(due) if due else None
    except ValueError as exc:
        raise Rejected("desk.due", due[:40]) from exc
    urgency = _field(form, "urgency") or "0"
    return Letter(
        id=_field(form, "id"), recipients=_field(form, "recipients").replace(";", "\n").splitlines(),
        subject=_field(form, "subject"), number=_field(form, "number").strip(),
        notation=_field(form, "notation").strip(), type=_field(form, "type") or "CV", content=_field(form, "content"),
        urgency=int(urgency) if urgency in {"0", "1", "2", "3", "4"} else 0, due=by,
        signer=(_field(form, "signer").strip(), _field(form, "position").strip()),
    )  # fmt: skip


def _kept(uploads: list[UploadFile], folder: Path) -> list[tuple[str, Path]]:
    """The uploads as files of ours; their names are as the clerk's machine had them, without a path."""
    folder.mkdir(mode=0o700)
    kept = []
    for number, upload in enumerate(uploads):
        path = folder / str(number)
        with path.open("wb") as stream:
            while chunk := upload.file.read(1024 * 1024):
                stream.write(chunk)
        kept.append(((upload.filename or "").replace("\\", "/").rpartition("/")[2], path))
    return kept


def _swept(folder: Path) -> None:
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _field(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _page(request: Request) -> int:
    text = request.query_params.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def _language(request: Request) -> str:
    chosen = request.cookies.get(LANGUAGE, "")
    return chosen if chosen in words.LANGUAGES else words.LANGUAGES[0]


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


def _refused(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, ExchangeError):
        raise TypeError(type(exc).__name__)
    log.info("desk.refused", code=exc.code, detail=exc.detail[:300])
    return _pages(request).sorry(request, exc)


def _missing(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 404
    answer = _pages(request).sorry(request, Rejected("desk.unknown", request.url.path[:100]))
    answer.status_code = status
    return answer
