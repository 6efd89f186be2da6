"""Who sits before a page, and what he may see: asked before every page and every look.

Guarantees: a page that a person may not open isn't built for them, and one that they may open for a part of the country
shows no more of it. Does not prove who it is: that is the entrance's
(`exchange.console.entrance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exchange.accounts import Permission
from exchange.agencies import ROOT_CODE

OPENS: Mapping[str, Permission] = {
    "now": Permission.SEE_NUMBERS,
    "documents": Permission.SEE_DOCUMENTS,
    "units": Permission.SEE_NUMBERS,
    "dead-letters": Permission.ACT,
    "history": Permission.SEE_NUMBERS,
}
"""What each page takes."""


WITHIN_SCOPE = frozenset({"documents", "units"})
"""The pages that keep to a subtree for whoever has a right for one; the others take it for the whole country."""


@dataclass(frozen=True, slots=True)
class Session:
    """One person's. `who`: the name that is recorded with each look; `scopes`: the tops of the subtrees that each right
    is for. `csrf`: what a form of its pages carries; empty where nobody logs in."""

    who: str
    scopes: Mapping[Permission, frozenset[str]]
    csrf: str = ""

    def may_open(self, page: str) -> bool:
        """Whether this page is for them, all of it or within their scope."""
        tops = self.tops(page)
        return tops is None or bool(tops and page in WITHIN_SCOPE)

    def tops(self, page: str) -> frozenset[str] | None:
        """What the page must keep to; None: everything is open."""
        tops = self.scopes.get(OPENS[page], frozenset())
        return None if ROOT_CODE in tops else tops


def everything(who: str) -> Session:
    """Whoever may do everything."""
    return Session(who, {one: frozenset({str(ROOT_CODE)}) for one in Permission})
