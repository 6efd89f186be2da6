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

LANGUAGE, THEME = "console_language", "console_theme"
"""The cookies."""
THEMES = ("system", "light", "dark")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Visit:
    """A page's surroundings. `query`: of its address, written by anyone."""

    words: Words
    page: str
    theme: str
    session: Session
    deployment: Deployment
    pulse: Pulse
    query: Mapping[str, str] = field(default_factory=dict)


async def beside(read: Callable[[], Value]) -> Value:
    """Read in a thread: PostgreSQL and Kafka are waited for there, and pages go on meanwhile."""
    return await asyncio.to_thread(read)
