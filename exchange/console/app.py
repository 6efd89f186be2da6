"""The console as an ASGI application: each page under each language, the root, the switches, the files beside them.

The language is in the address (``/vi/now``), so a page says what it is in, and a link to it says the same to whoever
gets it; the last one used is remembered in a cookie, as the theme is. Both are preferences: they hold no right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import structlog
from fastapi import FastAPI
from nicegui import app as pages
from nicegui import ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from exchange.console.deployment import Deployment
from exchange.console.entering import add_forms, page_of, session_of
from exchange.console.entrance import COOKIE
from exchange.console.frame import PAGES, Page, framed
from exchange.console.guarding import Guard
from exchange.console.pages import dead_letters, documents, history, now, units
from exchange.console.pulse import Pulse
from exchange.console.texts import LANGUAGES, Language, Words
from exchange.console.visit import LANGUAGE, THEME, THEMES, Visit

ASSETS = Path(__file__).parent / "assets"
RECONNECT_S = 30.0
"""A page that lost its connection goes on where it was if it is back within so long; later, it loads itself again."""
REMEMBERED_S = 365 * 24 * 3600

QUASAR: dict[Language, Literal["vi", "en-US"]] = {"vi": "vi", "en": "en-US"}
"""What Quasar calls a language, and the page with it (``lang``, RFC 5646)."""

_BUILDERS: dict[str, Page] = {
    "now": now.build,
    "documents": documents.build,
    "units": units.build,
    "dead-letters": dead_letters.build,
    "history": history.build,
}

log = structlog.get_logger(__name__)


def create_app(deployment: Deployment, names: Sequence[str]) -> ASGIApp:
    """The console; once a process, for NiceGUI is. `names`: what it is called."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/", _root)
    app.add_api_route("/theme/{theme}", _theme)
    add_forms(app, deployment.entrance, _words_of)
    app.mount("/assets", StaticFiles(directory=ASSETS), name="assets")
    pulse = Pulse(deployment)
    for language in LANGUAGES:
        for name in PAGES:
            _register(language, name, deployment, pulse)
    pages.on_exception(lambda exc: log.critical("console.bug", exc_info=exc))
    ui.add_head_html('<link rel="stylesheet" href="/assets/console.css">', shared=True)
    ui.run_with(
        app,
        title="Exchange",
        favicon=ASSETS / "icon.svg",
        dark=None,
        reconnect_timeout=RECONNECT_S,
        binding_refresh_interval=None,
        gzip_middleware_factory=None,
        tailwind=False,
        show_welcome_message=False,
    )
    return GZipMiddleware(Guard(app, names), minimum_size=1_000)


def _register(language: Language, name: str, deployment: Deployment, pulse: Pulse) -> None:
    words = Words(language)

    @ui.page(f"/{language}/{name}", title=f"{words('page.' + name)} – Exchange", language=QUASAR[language])
    async def page(request: Request) -> Response | None:
        session = await session_of(deployment.entrance, request, words, name)
        if isinstance(session, Response):
            return session
        visit = Visit(
            words=words,
            page=name,
            theme=_remembered(request, THEME, THEMES),
            session=session,
            deployment=deployment,
            pulse=pulse,
            query=dict(request.query_params),
            token=request.cookies.get(COOKIE, ""),
        )
        await framed(visit, _BUILDERS[name])
        return None


async def _root(request: Request) -> Response:
    """Go to the first page."""
    return RedirectResponse(f"/{_words_of(request).language}/now", 303)


def _words_of(request: Request) -> Words:
    """In the language of the page that is gone on to, else in the last one used, else in the browser's."""
    asked = page_of(request)[:2] or request.cookies.get(LANGUAGE)
    for language in LANGUAGES:
        if asked == language:
            return Words(language)
    return Words("en" if request.headers.get("accept-language", "").lower().startswith("en") else "vi")


async def _theme(request: Request, theme: str) -> Response:
    """Remember the theme and go back to the page."""
    page = page_of(request)
    response = RedirectResponse(f"/{page}", 303)
    if theme in THEMES:
        response.set_cookie(THEME, theme, max_age=REMEMBERED_S, httponly=True, samesite="strict")
    return response


def _remembered(request: Request, name: str, choices: Sequence[str]) -> str:
    value = request.cookies.get(name, "")
    return value if value in choices else choices[0]
