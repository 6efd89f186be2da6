"""Who does it and why, of commands that are answered for: set-aside, erase."""

from __future__ import annotations

import getpass

import typer

REASON_CHARACTERS_MAX = 400
BY_CHARACTERS_MAX = 80


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
