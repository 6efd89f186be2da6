"""Logging in and out over HTTP: two forms, and a cookie that no script reads and no other site sends.

Guarantees: the token goes into the cookie and nowhere else; a form of another site is refused twice, by its ``Origin``
(`exchange.console.guarding`) and by `SameSite`, and logging out by the session's own token too. Forms are small,
whatever a client claims.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from exchange.console.entrance import COOKIE, Entrance
from exchange.console.frame import PAGES
from exchange.console.pages.login import away_page, login_page
from exchange.console.session import Session
from exchange.console.texts import LANGUAGES, Words
from exchange.console.visit import THEME
from exchange.errors import Rejected, Unavailable

FORM_BYTES_MAX = 4_096
FORM_FIELDS_MAX = 8


def add_forms(app: FastAPI, entrance: Entrance, words_of: Callable[[Request], Words]) -> None:
    """Add ``/login`` and ``/logout``."""
    app.add_route("/login", partial(_show, words_of), methods=["GET"])
    app.add_route("/login", partial(_login, entrance, words_of), methods=["POST"])
    app.add_route("/logout", partial(_logout, entrance), methods=["POST"])


async def session_of(entrance: Entrance, request: Request, words: Words, page: str) -> Session | Response:
    """Whose page it is, or what to answer instead."""
    try:
        found = await asyncio.to_thread(entrance.session, request.cookies.get(COOKIE, ""))
    except Unavailable as exc:
        return HTMLResponse(away_page(words, request.cookies.get(THEME, ""), exc.code), 503)
    return RedirectResponse(f"/login?page={words.language}/{page}", 303) if found is None else found


def page_of(request: Request) -> str:
    """Which page to go on to, ``vi/now``; one of ours, whatever the address says."""
    page = request.query_params.get("page", "")
    language, _, name = page.partition("/")
    return page if language in LANGUAGES and name in PAGES else ""


async def _show(words_of: Callable[[Request], Words], request: Request) -> Response:
    return HTMLResponse(login_page(words_of(request), request.cookies.get(THEME, ""), page_of(request)))


async def _login(entrance: Entrance, words_of: Callable[[Request], Words], request: Request) -> Response:
    words, theme, page = words_of(request), request.cookies.get(THEME, ""), page_of(request)
    source = request.client.host if request.client else ""
    try:
        form = await _form(request)
        token = await asyncio.to_thread(entrance.login, form.get("name", ""), form.get("password", ""), source)
    except Rejected as exc:
        return HTMLResponse(login_page(words, theme, page, words.refused(exc.code)), 403)
    except Unavailable as exc:
        return HTMLResponse(login_page(words, theme, page, words.away(exc.code)), 503)
    response = RedirectResponse(f"/{page}", 303)
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


async def _logout(entrance: Entrance, request: Request) -> Response:
    response = RedirectResponse("/login", 303)
    try:
        form = await _form(request)
        await asyncio.to_thread(entrance.logout, request.cookies.get(COOKIE, ""), form.get("csrf", ""))
    except Rejected as exc:
        return Response(exc.code, 403)
    except Unavailable as exc:
        return Response(exc.code, 503)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises: Rejected ``login.form``."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES_MAX:
            raise Rejected("login.form", f"> {FORM_BYTES_MAX} bytes")
    try:
        fields = parse_qs(bytes(body).decode("ascii"), strict_parsing=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError as exc:
        raise Rejected("login.form", str(exc)) from exc
    return {name: values[0] for name, values in fields.items()}
