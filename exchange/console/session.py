"""Who sits before a page, and what he may see: asked before every page and every look.

Guarantees: a page that a person may not open isn't built for it. Does not prove who it is: that is the entrance's
(`exchange.console.entrance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exchange.accounts import Permission

OPENS: Mapping[str, Permission] = {
    "now": Permission.SEE_NUMBERS,
    "documents": Permission.SEE_DOCUMENTS,
    "units": Permission.SEE_NUMBERS,
    "dead-letters": Permission.ACT,
    "history": Permission.SEE_NUMBERS,
}
"""What each page takes."""


@dataclass(frozen=True, slots=True)
class Session:
    """One person's. `who`: the name that is recorded with each look; `permissions`: for the whole country.
    `csrf`: what a form of its pages carries; empty where nobody logs in."""

    who: str
    permissions: frozenset[Permission]
    csrf: str = ""

    def may_open(self, page: str) -> bool:
        """Whether this page is for them."""
        return OPENS[page] in self.permissions
