"""Who sits before a page, and what he may see: asked before every page and every look.

Guarantees: a page that a role doesn't open isn't built for it. An administrator is no auditor: who gives rights out
doesn't look at documents. Does not prove who it is: until people log in, the console listens on the loopback address
only, and whoever is logged in on that machine is everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["viewer", "auditor", "operator", "administrator"]
"""The words of the directory's grants."""

OPENS: dict[str, frozenset[Role]] = {
    "now": frozenset({"viewer", "auditor", "operator"}),
    "documents": frozenset({"auditor"}),
    "units": frozenset({"viewer", "auditor", "operator"}),
    "dead-letters": frozenset({"auditor", "operator"}),
    "history": frozenset({"viewer", "auditor", "operator"}),
}
"""Which roles open which page; one of them is enough."""

WITHIN_SCOPE: frozenset[str] = frozenset()
"""The pages that can limit themselves to a subtree; the others stay closed to whoever is limited to one."""


@dataclass(frozen=True, slots=True)
class Session:
    """One person's. `who`: the name that is recorded with each look; `scope`: code of the agency that it counts for,
    with all below it; None: everyone."""

    who: str
    roles: frozenset[Role]
    scope: str | None = None

    def may_open(self, page: str) -> bool:
        """Whether one of the roles opens the page, and the page keeps within the scope."""
        return bool(self.roles & OPENS[page]) and (self.scope is None or page in WITHIN_SCOPE)
