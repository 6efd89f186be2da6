"""Sessions: who somebody is between logging in and out.

Guarantees: the token is 256 random bits and is stored as its SHA-256 only; a session ends after `IDLE_MS` without use,
after `LONGEST_MS` whatever happens, and at once when its account is closed or gets another password. What it may do
isn't in it: `Session.rights` asks the directory as it is now, so a revoked grant counts with the next question.

Source: OWASP ASVS 5 §7 (session management). The token against CSRF is an HMAC under the session's own secret, so
nothing of it is kept.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, NamedTuple

from exchange.accounts.permissions import Rights, View, rights_of
from exchange.accounts.store import AccountStore
from exchange.errors import Rejected

IDLE_MS = 30 * 60_000
LONGEST_MS = 12 * 3_600_000
TOUCH_MS = 60_000
"""How exactly the last use is remembered."""

TOKEN_BYTES = 32
TOKEN_CHARACTERS_MAX = 100

Method = Literal["password", "openid"]


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in. `csrf`: what a form must carry back."""

    user: str
    full_name: str
    method: Method
    began_ms: int
    csrf: str = field(repr=False)

    def rights(self, view: View) -> Rights:
        """What they may do as of a view of the directory."""
        return rights_of(view, self.user)

    def require_csrf(self, given: str) -> None:
        """Go on only with the token that this session's pages carry; Rejected ``session.csrf``."""
        if not hmac.compare_digest(self.csrf.encode(), given.encode()):
            raise Rejected("session.csrf", f"a form that isn't of {self.user}'s session")


class Begun(NamedTuple):
    """A new session, and the token for the browser's cookie: Secure, HttpOnly, SameSite=Lax, and nowhere else."""

    token: str
    session: Session


class Sessions:
    """The sessions of all processes that share the database. `clock`: ms since 1970 UTC."""

    def __init__(self, store: AccountStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    def begin(self, user: str, method: Method) -> Begun:
        """Begin one for an account that has just shown who it is; Rejected ``account.closed``."""
        token, now_ms = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM sessions WHERE began_ms <= %s OR seen_ms <= %s", [now_ms - LONGEST_MS, now_ms - IDLE_MS]
            )
            row = connection.execute(
                "SELECT full_name FROM accounts WHERE name = %s AND closed_ms IS NULL FOR SHARE", [user]
            ).fetchone()
            if row is None:
                raise Rejected("account.closed", user[:80])
            connection.execute(
                "INSERT INTO sessions (token, name, method, began_ms, seen_ms) VALUES (%s, %s, %s, %s, %s)",
                [_kept(token), user, method, now_ms, now_ms],
            )
        return Begun(token, Session(user, row[0], method, now_ms, csrf_of(token)))

    def open(self, token: str, *, is_used: bool = True) -> Session:
        """The session of a token, which is used now, or only looked at; Rejected ``session.over``, also for what never
        was a token."""
        if not token or len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            raise Rejected("session.over")
        now_ms = self._clock()
        with self._store.transaction() as connection:
            row = connection.execute(
                "SELECT name, full_name, method, began_ms, seen_ms FROM sessions JOIN accounts USING (name)"
                " WHERE token = %s AND closed_ms IS NULL",
                [_kept(token)],
            ).fetchone()
            if row is None:
                raise Rejected("session.over")
            user, full_name, method, began_ms, seen_ms = row
            if now_ms - seen_ms >= IDLE_MS or now_ms - began_ms >= LONGEST_MS:
                raise Rejected("session.over", user)
            if is_used and now_ms - seen_ms >= TOUCH_MS:
                connection.execute("UPDATE sessions SET seen_ms = %s WHERE token = %s", [now_ms, _kept(token)])
        return Session(user, full_name, method, began_ms, csrf_of(token))

    def end(self, token: str) -> None:
        """Log out; a token that is over already changes nothing."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE token = %s", [_kept(token)])


def csrf_of(token: str) -> str:
    """What a form of this session must carry back: another site can't know it, and it reveals nothing of the token."""
    return hmac.digest(token.encode(), b"exchange csrf v1", sha256).hex()


def _kept(token: str) -> bytes:
    return sha256(token.encode()).digest()
