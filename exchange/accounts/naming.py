"""Names of accounts: one spelling each."""

from __future__ import annotations

import re

from exchange.errors import Rejected

_USER = re.compile(r"[a-z][a-z0-9]*(?:[._@-][a-z0-9]+)*", re.ASCII)
USER_CHARACTERS_MAX = 80


def checked_user(name: str) -> str:
    """A name in its one spelling (lower case); Rejected ``account.name``."""
    name = name.strip().lower()
    if len(name) > USER_CHARACTERS_MAX or _USER.fullmatch(name) is None:
        raise Rejected("account.name", "letters and digits, with . _ @ or - between, beginning with a letter")
    return name
