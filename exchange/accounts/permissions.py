"""What somebody may do, and for which agencies: derived from the grants in the directory, and from nothing else.

Guarantees: a right counts for the agency that its grant names and for those below it in the tree as it is now, never
for one above or beside; a grant revoked is gone with the next view of the directory. An administrator is no auditor:
while somebody administers anything, no grant lets them see documents, whatever the order in which the two were said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from exchange.agencies import Agency, Grant, RoleName
from exchange.errors import Rejected


class Permission(Enum):
    """What a role is for."""

    SEE_NUMBERS = "see numbers"
    """How much, how fast, how many of which code; never what a document says."""
    SEE_DOCUMENTS = "see documents"
    """Search, trace, evidence: with a reason, recorded before anything is shown."""
    ACT = "act"
    """Suspend, set aside, erase, read dead letters and send them again."""
    ADMINISTER = "administer"
    """Make accounts, grant and revoke roles."""


PERMISSIONS: Mapping[RoleName, frozenset[Permission]] = {
    "viewer": frozenset({Permission.SEE_NUMBERS}),
    "auditor": frozenset({Permission.SEE_NUMBERS, Permission.SEE_DOCUMENTS}),
    "operator": frozenset({Permission.SEE_NUMBERS, Permission.ACT}),
    "administrator": frozenset({Permission.SEE_NUMBERS, Permission.ADMINISTER}),
}
"""What each role may."""


class View(Protocol):
    """What rights ask of the directory as of one offset."""

    def grants(self, user: str) -> list[Grant]:
        """What stands of the roles of one user."""

    def agency(self, code: str) -> Agency | None:
        """The agency with this code, in whatever spelling."""

    def ancestors(self, code: str) -> tuple[Agency, ...]:
        """The agencies above one, nearest first."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may do, as of one view of the directory. `grants`: those that count."""

    user: str
    grants: tuple[Grant, ...]
    _view: View

    def may(self, permission: Permission, agency: str) -> bool:
        """Whether the user may do this for that agency, named by any of its codes; never for one that is unknown."""
        scopes = self.scopes(permission)
        if not scopes:
            return False
        found = self._view.agency(agency)
        if found is None:
            return False
        return found.code in scopes or any(above.code in scopes for above in self._view.ancestors(found.code))

    def require(self, permission: Permission, agency: str) -> None:
        """Go on only with the right; Rejected ``permission.missing``."""
        if not self.may(permission, agency):
            raise Rejected("permission.missing", f"{self.user} may not {permission.value} for {agency[:40]}")

    def scopes(self, permission: Permission) -> frozenset[str]:
        """The tops of the subtrees that the user may do this for: to ask a store by, or to draw a tree from."""
        return frozenset(grant.scope for grant in self.grants if permission in PERMISSIONS[grant.role])

    @property
    def roles(self) -> frozenset[RoleName]:
        """The roles held anywhere."""
        return frozenset(grant.role for grant in self.grants)


def rights_of(view: View, user: str) -> Rights:
    """What a user may do now."""
    return Rights(user, effective(view.grants(user)), view)


def effective(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """The grants that count: of an administrator's, those of an auditor don't."""
    standing = [grant for grant in grants if grant.is_granted and grant.role in PERMISSIONS]
    if any(grant.role == "administrator" for grant in standing):
        standing = [grant for grant in standing if grant.role != "auditor"]
    return tuple(standing)
