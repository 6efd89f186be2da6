"""Granting and revoking roles: the registrar's signed entries, said for an administrator.

Guarantees: nobody grants beyond the subtree that they administer, nor to themselves; nobody is administrator and
auditor. The first administrator is granted by whoever holds the registrar's key (`granter` None): the command line.
"""

from __future__ import annotations

from exchange.accounts.naming import checked_user
from exchange.accounts.permissions import PERMISSIONS, Permission, Rights, View
from exchange.agencies import Grant, RoleName
from exchange.errors import Rejected
from exchange.operating.deciding import Registrar, checked_name, checked_reason, now_ms

APART: frozenset[RoleName] = frozenset({"administrator", "auditor"})
"""Whoever hands out the keys doesn't read."""


def grant(
    registrar: Registrar, user: str, role: RoleName, scope: str, reason: str, by: str, granter: Rights | None = None
) -> Grant:
    """Give a role to a user, for an agency and all below it. `by`: who decides; the granter's name if there is one.

    Raises: Rejected ``grant.role``, ``grant.apart``, ``grant.standing``, ``grant.own``, ``agency.unknown``,
        ``account.name``, ``permission.missing``, ``decision.text``; Unavailable.
    """
    return _say(registrar, user, role, scope, (reason, by), granter, is_granted=True)


def revoke(
    registrar: Registrar, user: str, role: RoleName, scope: str, reason: str, by: str, granter: Rights | None = None
) -> Grant:
    """Take a role away again. Raises: as `grant`, and Rejected ``grant.not_standing``."""
    return _say(registrar, user, role, scope, (reason, by), granter, is_granted=False)


def check(view: View, wanted: Grant, granter: Rights | None) -> None:
    """Whether that may be said; see `grant` for what it raises."""
    if wanted.role not in PERMISSIONS:
        raise Rejected("grant.role", f"{wanted.role} is none of {', '.join(PERMISSIONS)}")
    if granter is not None:
        if granter.user == wanted.user:
            raise Rejected("grant.own", "somebody else has to")
        granter.require(Permission.ADMINISTER, wanted.scope)
    standing = view.grants(wanted.user)
    is_standing = any((one.role, one.scope) == (wanted.role, wanted.scope) for one in standing)
    if not wanted.is_granted:
        if not is_standing:
            raise Rejected("grant.not_standing", wanted.key)
        return
    if is_standing:
        raise Rejected("grant.standing", wanted.key)
    others = APART - {wanted.role}
    if wanted.role in APART and any(one.role in others for one in standing):
        raise Rejected("grant.apart", f"{wanted.user} is {', '.join(sorted(others))}: nobody is both")


def _say(
    registrar: Registrar,
    user: str,
    role: RoleName,
    scope: str,
    texts: tuple[str, str],
    granter: Rights | None,
    *,
    is_granted: bool,
) -> Grant:
    reason, by = checked_reason(texts[0]), checked_name(texts[1] if granter is None else granter.user)
    registrar.log.catch_up()
    view = registrar.view
    agency = view.agency(scope)
    if agency is None:
        raise Rejected("agency.unknown", scope[:60])
    wanted = Grant(checked_user(user), role, agency.code, now_ms(), is_granted, reason, by)
    check(view, wanted, granter)
    said = view.last_grant(wanted)
    if said is not None and said.version >= wanted.version:  # this machine's clock is behind another's
        wanted = Grant(wanted.user, role, agency.code, said.version + 1, is_granted, reason, by)
    registrar.say(wanted)
    return wanted
