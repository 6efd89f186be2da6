"""How people come in: everybody who is logged in on this machine, or by an account of their own.

Guarantees: without an account nobody is anybody; what a session may do is asked of the directory's grants anew with
each page and each look, so a revoked grant counts with the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Protocol

from exchange.accounts import Permission, Rights
from exchange.accounts.logins import Logins
from exchange.agencies import DirectoryView
from exchange.console.session import Session
from exchange.errors import Rejected

COOKIE = "console_session"


class Entrance(Protocol):
    """Its methods wait for the services: call them in a thread."""

    has_login: bool

    def session(self, token: str, *, is_used: bool = True) -> Session | None:
        """Whose it is; None: log in first. `is_used`: somebody is there, and not only a page. Raises: Unavailable."""

    def login(self, name: str, password: str, source: str) -> str:
        """A token for the browser's cookie. Raises: Rejected ``login.*``; Unavailable."""

    def logout(self, token: str, csrf: str) -> None:
        """End it. Raises: Rejected ``session.csrf``; Unavailable."""


class Everybody:
    """Whoever reaches the console is this one."""

    has_login = False

    def __init__(self, session: Session) -> None:
        self._session = session

    def session(self, token: str, *, is_used: bool = True) -> Session | None:
        """Always the same."""
        del token, is_used
        return self._session

    def login(self, name: str, password: str, source: str) -> str:
        """Nobody needs to."""
        raise Rejected("login.refused")

    def logout(self, token: str, csrf: str) -> None:
        """Changes nothing."""


class Accounts:
    """People with accounts (docs/operating.md). `logins`: made when first needed; `ask`: the directory."""

    has_login = True

    def __init__(
        self, logins: Callable[[], Logins], ask: Callable[[Callable[[DirectoryView], Session]], Session]
    ) -> None:
        self._make = logins
        self._ask = ask
        self._made: Logins | None = None
        self._lock = Lock()

    def session(self, token: str, *, is_used: bool = True) -> Session | None:
        """Whose token it is, with the roles of now."""
        if not token:
            return None
        try:
            found = self._logins().sessions.open(token, is_used=is_used)
        except Rejected:
            return None
        return self._ask(lambda view: seen_as(found.rights(view), found.csrf))

    def login(self, name: str, password: str, source: str) -> str:
        """Begin a session."""
        return self._logins().login(name, password, source).token

    def logout(self, token: str, csrf: str) -> None:
        """End it, if the form was of its own pages."""
        try:
            self._logins().sessions.open(token).require_csrf(csrf)
        except Rejected as exc:
            if exc.code == "session.csrf":
                raise
            return
        self._logins().logout(token)

    def _logins(self) -> Logins:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def seen_as(rights: Rights, csrf: str) -> Session:
    """What the console makes of somebody's rights."""
    return Session(rights.user, {one: rights.scopes(one) for one in Permission}, csrf)
