"""What surrounds every page: the way past the navigation, the navigation, language and theme, one heading.

Guarantees: everything can be reached and worked by keyboard alone, in the order in which it is read; landmarks, one
first-level heading a page, and the current page are told to those who listen (WCAG 2.2: 1.3.1, 2.4.1, 2.4.7, 3.1.1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from nicegui import ui
from nicegui.element import Element

from exchange.console.elements import element, link, text
from exchange.console.texts import LANGUAGES, NAMES
from exchange.console.visit import LANGUAGE, THEMES, Visit
from exchange.errors import Rejected, Unavailable

log = structlog.get_logger(__name__)

PAGES = ("now", "documents", "units", "dead-letters", "history")
"""The pages, in the order of the navigation."""

Page = Callable[[Visit], Awaitable[None]]

CHECKED_S = 10.0
"""How often an open page asks whether its session still holds."""

_DARK = {"system": None, "light": False, "dark": True}
_MAIN = "main"


async def framed(visit: Visit, build: Page) -> None:
    """Build a page in its frame; a notice instead for whom it isn't open."""
    words = visit.words
    _no_landmark(ui.context.client.content)
    ui.dark_mode(_DARK[visit.theme])
    ui.add_head_html(_remember(words.language))
    link(words("frame.skip"), f"#{_MAIN}", "skip")
    with element("header", "bar"):
        with element("a", "brand").props('href="/"'):
            text("span", "Exchange", "brand-name")
            text("span", words("frame.subtitle"), "brand-subtitle")
        with element("nav", "pages").props(f'aria-label="{words("frame.pages")}"'):
            for name in PAGES:
                if visit.session.may_open(name):
                    current = 'aria-current="page"' if name == visit.page else ""
                    link(words(f"page.{name}"), f"/{words.language}/{name}").props(current)
        with element("div", "switches"):
            _languages(visit)
            _themes(visit)
            if visit.session.csrf:
                _logout(visit)
    with element("main", f"page page-{visit.page}").props(f'id="{_MAIN}" tabindex="-1"'):
        text("h1", words(f"page.{visit.page}"))
        if visit.session.may_open(visit.page):
            await build(visit)
        else:
            text("p", words("frame.closed"), "notice")
    with element("footer", "foot"):
        text("span", words("frame.who", who=visit.session.who))


def _no_landmark(content: Element) -> None:
    """Let NiceGUI's page, which would be a ``main`` around all, be a ``div``: a page has one ``main``."""
    for one in content.ancestors():
        if one.tag == "q-page":
            one.tag = "div"


def _languages(visit: Visit) -> None:
    with element("nav", "switch").props(f'aria-label="{visit.words("frame.language")}"'):
        for language in LANGUAGES:
            current = 'aria-current="true"' if language == visit.words.language else ""
            named = link(language.upper(), f"/{language}/{visit.page}")
            named.props(f'lang="{language}" title="{NAMES[language]}" aria-label="{NAMES[language]}" {current}')


def _themes(visit: Visit) -> None:
    words = visit.words
    with element("nav", "switch").props(f'aria-label="{words("frame.theme")}"'):
        for theme in THEMES:
            current = 'aria-current="true"' if theme == visit.theme else ""
            label = words(f"theme.{theme}")
            chosen = link(_SIGNS[theme], f"/theme/{theme}?page={words.language}/{visit.page}")
            chosen.props(f'title="{label}" aria-label="{label}" {current}')


def _logout(visit: Visit) -> None:
    with element("form", "switch").props('method="post" action="/logout"'):
        element("input").props(f'type="hidden" name="csrf" value="{visit.session.csrf}"')
        text("button", visit.words("login.logout")).props('type="submit"')
    if visit.session.may_open(visit.page):  # otherwise there is nothing to leave
        ui.timer(CHECKED_S, partial(_go_if_over, visit), immediate=False)


async def _go_if_over(visit: Visit) -> None:
    """Whoever is logged out, or may not open the page any more, doesn't go on watching it."""
    try:
        await visit.require(is_used=False)
    except Rejected:
        ui.navigate.to(f"/{visit.words.language}/{visit.page}")
    except Unavailable as exc:
        log.warning("console.session_unknown", code=exc.code)


_SIGNS = {"system": "◐", "light": "☀", "dark": "☾"}


def _remember(language: str) -> str:
    """The language of this page is the next one's of whoever comes to the root."""
    return f'<script>document.cookie = "{LANGUAGE}={language}; path=/; max-age=31536000; samesite=strict"</script>'
