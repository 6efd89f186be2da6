"""What a page does when it is told to: with a sign that it is at work, and refusals said where they arise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from nicegui import ui
from nicegui.element import Element

from exchange.console.deployment import Away
from exchange.console.elements import element, hostile, text
from exchange.console.texts import Words
from exchange.errors import ExchangeError, InvariantBroken, Unavailable

log = structlog.get_logger(__name__)

AGAIN_S = 3.0


def soon(work: Callable[[], Awaitable[None]]) -> None:
    """Do it as soon as the page stands: what has to be waited for doesn't hold up the page."""
    ui.timer(0.01, work, once=True)


def tried_again(words: Words, away: Away) -> None:
    """Instead of a page whose reading is away: say so, and load it again after a while."""
    text("p", words.away(away.code), "notice").props('role="status"')
    ui.timer(AGAIN_S, ui.navigate.reload, once=True)


class Saying:
    """A place where a page says what went wrong, or that it is at work; read out to those who listen."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._place: Element = element("div", "notices").props('role="status"')
        self._one_at_a_time = asyncio.Lock()

    def clear(self) -> None:
        """Say nothing."""
        self._place.clear()

    def say(self, key: str, **blanks: object) -> None:
        """Say something of ours."""
        self._place.clear()
        with self._place:
            text("p", self._words(key, **blanks), "hint")

    def refuse(self, exc: ExchangeError) -> None:
        """Say what can't be done, and why."""
        self._place.clear()
        with self._place, element("p", "notice"):
            if isinstance(exc, Unavailable):
                text("span", self._words.away(exc.code))
            else:
                text("span", self._words.refused(exc.code))
                if exc.detail:
                    hostile("bdi", exc.detail[:500], "detail")

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Around what takes a while, one thing after the other; what it raises of the exchange's own errors is said."""
        async with self._one_at_a_time:
            self.say("acting.working")
            try:
                yield
            except InvariantBroken as exc:
                log.critical("console.bug", detail=exc.detail)
                self.refuse(exc)
            except ExchangeError as exc:
                self.refuse(exc)
            else:
                self.clear()
