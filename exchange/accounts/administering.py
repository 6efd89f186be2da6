"""Making accounts, giving them new passwords, closing them: recorded with who, before it counts.

Guarantees: whoever administers a subtree changes no account that has a right beyond it, so nobody takes over a mightier
one by a new password. Accounts without any right are everybody's who administers something. `administrator` None is
whoever holds the registrar's key: the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from exchange.accounts.naming import checked_user
from exchange.accounts.passwords import Passwords
from exchange.accounts.permissions import Permission, Rights, View
from exchange.accounts.store import Account, AccountStore
from exchange.backbone.actions import Action, Actions
from exchange.errors import Rejected
from exchange.operating.deciding import checked_name


class Administering:
    """What administrators do to accounts. `clock`: ms since 1970 UTC."""

    def __init__(
        self,
        store: AccountStore,
        actions: Actions,
        passwords: Passwords,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._actions = actions
        self._passwords = passwords
        self._clock = clock

    def add(
        self,
        name: str,
        full_name: str,
        by: str,
        *,
        password: str | None = None,
        openid: tuple[str, str] | None = None,
        administrator: Rights | None = None,
    ) -> Account:
        """Make an account that logs in by a password, or at an OpenID provider (issuer and subject).

        Raises: Rejected ``account.name``, ``account.exists``, ``account.login``, ``password.weak``,
            ``permission.missing``, ``decision.text``; Unavailable.
        """
        name, full_name = checked_user(name), checked_name(full_name)
        if (password is None) == (openid is None):
            raise Rejected("account.login", "a password, or an OpenID subject")
        if administrator is not None and not administrator.scopes(Permission.ADMINISTER):
            raise Rejected("permission.missing", f"{administrator.user} administers nothing")
        if self._store.account(name) is not None:
            raise Rejected("account.exists", name)
        hashed = None if password is None else self._passwords.hash(password, name)
        about = {"user": name} if openid is None else {"user": name, "issuer": openid[0], "subject": openid[1]}
        self._actions.record(Action("account.add", _who(by, administrator), about=about))
        return self._store.add(name, full_name, self._clock(), password=hashed, openid=openid)

    def set_password(self, name: str, password: str, by: str, view: View, administrator: Rights | None = None) -> None:
        """Give an account another password, and end its sessions.

        Raises: Rejected ``account.unknown``, ``password.weak``, ``permission.missing``; Unavailable.
        """
        name = self._known(name, view, administrator)
        hashed = self._passwords.hash(password, name)
        self._actions.record(Action("account.password", _who(by, administrator), about={"user": name}))
        self._store.set_password(name, hashed)

    def close(self, name: str, by: str, view: View, administrator: Rights | None = None) -> None:
        """Let an account be used no more, and end its sessions. Its name is never given again.

        Raises: Rejected ``account.unknown``, ``permission.missing``; Unavailable.
        """
        name = self._known(name, view, administrator)
        self._actions.record(Action("account.close", _who(by, administrator), about={"user": name}))
        self._store.close(name, self._clock())

    def _known(self, name: str, view: View, administrator: Rights | None) -> str:
        name = checked_user(name)
        account = self._store.account(name)
        if account is None or account.closed_ms is not None:
            raise Rejected("account.unknown", name)
        if administrator is not None:
            require_over(administrator, view, name)
        return name


def require_over(administrator: Rights, view: View, user: str) -> None:
    """Go on only if nothing that the user may do is beyond what the administrator administers.

    Raises: Rejected ``permission.missing``.
    """
    if not administrator.scopes(Permission.ADMINISTER):
        raise Rejected("permission.missing", f"{administrator.user} administers nothing")
    for grant in view.grants(user):
        administrator.require(Permission.ADMINISTER, grant.scope)


def _who(by: str, administrator: Rights | None) -> str:
    return checked_name(by) if administrator is None else administrator.user
