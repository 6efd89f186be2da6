"""One page as it was opened: in which language and theme, by whom, and out of what it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from exchange.console.deployment import Deployment
from exchange.console.pulse import Pulse
from exchange.console.session import Session
from exchange.console.texts import Words
from exchange.errors import Rejected

LANGUAGE, THEME = "console_language", "console_theme"
"""The cookies."""
THEMES = ("system", "light", "dark")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Visit:
    """A page's surroundings. `session`: as the page was opened; `query`: of its address, written by anyone."""

    words: Words
    page: str
    theme: str
    session: Session
    deployment: Deployment
    pulse: Pulse
    query: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)

    async def require(self, *, is_used: bool = True) -> Session:
        """Who it is now, before a look. `is_used`: False if nobody may be there but the page.

        Raises: Rejected ``session.over``, ``permission.missing``; Unavailable.
        """
        session = await beside(lambda: self.deployment.entrance.session(self.token, is_used=is_used))
        if session is None:
            raise Rejected("session.over")
        if not session.may_open(self.page):
            raise Rejected("permission.missing")
        return session


async def beside(read: Callable[[], Value]) -> Value:
    """Read in a thread: PostgreSQL and Kafka are waited for there, and pages go on meanwhile."""
    return await asyncio.to_thread(read)
