"""Limits on what a statement's text fields may hold: length, no control or invisible characters.

`str.isprintable` is the rule: it refuses control characters, line ends, bidirectional overrides, zero-width
and unassigned characters, so what a clerk reads is what was signed.
"""

from __future__ import annotations

import re

from exchange.errors import Rejected

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)


def line(field: str, text: str, most: int, least: int = 0) -> None:
    """Accept one line of `least` to `most` characters.

    Raises: Rejected ``text.too_long``, ``text.empty``, ``text.control_characters``: the sender must act.
    """
    if len(text) > most:
        raise Rejected("text.too_long", f"{field}: {len(text)} > {most} characters")
    if len(text) < least:
        raise Rejected("text.empty", field)
    if not text.isprintable():
        raise Rejected("text.control_characters", field)


def paragraph(field: str, text: str, most: int) -> None:
    r"""Accept a text of at most `most` characters in which ``\n`` separates lines."""
    line(field, text.replace("\n", " "), most)


def identifier(field: str, text: str) -> None:
    """Accept an identifier chosen by a sender; Rejected ``text.identifier``."""
    if _ID.fullmatch(text) is None:
        raise Rejected("text.identifier", f"{field}: {text[:80]!r}")
