"""Who does it and why, of commands that are answered for: set-aside, erase, search, trace, export."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from exchange.backbone.accesses import Access, Action

REASON_CHARACTERS_MAX = 400
BY_CHARACTERS_MAX = 80
ASKED_CHARACTERS_MAX = 10_000

By = Annotated[str | None, typer.Option(help="Who looks; by default who is logged in.")]
Reason = Annotated[
    str, typer.Option(envvar="EXCHANGE_REASON", help="Why you look; it is recorded for ever, like what you look at.")
]

OptionalReason = Annotated[
    str, typer.Option(envvar="EXCHANGE_REASON", help="Why you look, if you look as an auditor; kept for ever.")
]


def access(action: Action, by: str | None, reason: str, asked: str) -> Access:
    """A look at what was asked, to be recorded. `reason`: may be empty. Raises: typer.BadParameter."""
    why = reason and one_line(reason, REASON_CHARACTERS_MAX, "--reason")
    return Access(action, who(by), why, asked[:ASKED_CHARACTERS_MAX])


def who(by: str | None) -> str:
    """Who it is: as said, else as logged in. Raises: typer.BadParameter."""
    return one_line(by or _login(), BY_CHARACTERS_MAX, "--by")


def one_line(text: str, most: int, option: str) -> str:
    """One printable line of at most `most` characters, or typer.BadParameter."""
    text = text.strip()
    if not text or len(text) > most or not text.isprintable():
        raise typer.BadParameter(f"one line of 1 to {most} characters, please", param_hint=option)
    return text


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as exc:
        raise typer.BadParameter("nobody is logged in here: say who decides", param_hint="--by") from exc
