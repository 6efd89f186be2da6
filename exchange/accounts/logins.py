"""Logging in with a password: slowly for whoever guesses, in the same time and words for whoever doesn't exist.

Guarantees: a failure is counted before the password is looked at, so many guesses at a time gain nothing; from the
`FREE_FAILURES`-th in a row on, the name is locked, for twice as long each time, up to `LOCK_MS_MAX`, whether such an
account exists or not. One source is heard `SOURCE_PER_MINUTE` times a minute. Logging in, out, and each locking of an
account is recorded with who, before it counts; an unknown name never is, for people type passwords there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256

from exchange.accounts.naming import USER_CHARACTERS_MAX, checked_user
from exchange.accounts.passwords import Passwords
from exchange.accounts.sessions import Begun, Session, Sessions
from exchange.accounts.store import Account, AccountStore
from exchange.backbone.actions import Action, Actions
from exchange.errors import Rejected

FREE_FAILURES = 5
LOCK_MS = 60_000
LOCK_MS_MAX = 3_600_000
FORGET_MS = 86_400_000
"""A name that nobody tried for so long begins anew."""

SOURCE_PER_MINUTE = 20
SOURCES_MAX = 10_000

_LOOK = "SELECT failures, last_ms, locked_until_ms FROM attempts WHERE name = %s FOR UPDATE"
_COUNT = """
INSERT INTO attempts VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET failures = EXCLUDED.failures, last_ms = EXCLUDED.last_ms,
    locked_until_ms = EXCLUDED.locked_until_ms
"""


class Logins:
    """Lets people in. `clock`: ms since 1970 UTC."""

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
        self._sources: dict[str, tuple[float, int]] = {}
        self.sessions = Sessions(store, clock)

    def login(self, name: str, password: str, source: str) -> Begun:
        """Begin a session. `source`: the network address that asks.

        Raises: Rejected ``login.refused`` (name or password: which isn't said), ``login.locked``, ``login.too_fast``;
            Unavailable ``login.busy`` and what the database and Kafka raise: nobody is let in unrecorded.
        """
        self._slow_down(source)
        name = name.strip().lower()[: USER_CHARACTERS_MAX + 1]
        is_locking = self._count(name)
        account = self._store.account(name) if _may_exist(name) else None
        usable = account if account is not None and account.closed_ms is None else None
        is_right = self._passwords.verify(None if usable is None else usable.password, password)
        if usable is None or not is_right:
            if is_locking and usable is not None:
                self._actions.record(Action("account.locked", usable.name, about={"source": source}))
            raise Rejected("login.refused")
        self._actions.record(Action("account.login", usable.name, about={"source": source, "method": "password"}))
        self._forgive(name)
        self._renew(usable, password)
        return self.sessions.begin(usable.name, "password")

    def admit(self, issuer: str, subject: str, source: str) -> Begun:
        """Begin a session for whom an OpenID provider has vouched (`openid.OpenId.finish`).

        Raises: Rejected ``login.refused``: nobody here is that; Unavailable.
        """
        account = self._store.account_of(issuer, subject)
        if account is None or account.closed_ms is not None:
            raise Rejected("login.refused")
        self._actions.record(Action("account.login", account.name, about={"source": source, "method": "openid"}))
        return self.sessions.begin(account.name, "openid")

    def logout(self, token: str) -> None:
        """End a session, which is recorded; one that is over already changes nothing."""
        try:
            session: Session = self.sessions.open(token)
        except Rejected:
            return
        self._actions.record(Action("account.logout", session.user))
        self.sessions.end(token)

    def _slow_down(self, source: str) -> None:
        """A bucket a source; the least recently seen is forgotten first."""
        now_ms = self._clock()
        level, at_ms = self._sources.pop(source, (float(SOURCE_PER_MINUTE), now_ms))
        level = min(float(SOURCE_PER_MINUTE), level + max(now_ms - at_ms, 0) * SOURCE_PER_MINUTE / 60_000)
        self._sources[source] = (max(level - 1, 0.0), now_ms)
        if len(self._sources) > SOURCES_MAX:
            del self._sources[next(iter(self._sources))]
        if level < 1:
            raise Rejected("login.too_fast", source[:60])

    def _count(self, name: str) -> bool:
        """Count an attempt as a failure until it turns out well; tells whether the name is locked from here on.

        Raises: Rejected ``login.locked``.
        """
        now_ms, key = self._clock(), _key(name)
        with self._store.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [key.hex()])
            connection.execute("DELETE FROM attempts WHERE last_ms < %s", [now_ms - FORGET_MS])
            row = connection.execute(_LOOK, [key]).fetchone()
            failures, _, locked_until_ms = row or (0, 0, 0)
            if now_ms < locked_until_ms:
                raise Rejected("login.locked", f"for {(locked_until_ms - now_ms) // 1000 + 1} s")
            failures += 1
            over = failures - FREE_FAILURES
            until_ms = now_ms + min(LOCK_MS << min(over, 20), LOCK_MS_MAX) if over >= 0 else 0
            connection.execute(_COUNT, [key, failures, now_ms, until_ms])
        return over >= 0

    def _forgive(self, name: str) -> None:
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM attempts WHERE name = %s", [_key(name)])

    def _renew(self, account: Account, password: str) -> None:
        """Keep the hash by the parameters of today."""
        if account.password is not None and self._passwords.is_outdated(account.password):
            self._store.rehash(account.name, account.password, self._passwords.again(password))


def _may_exist(name: str) -> bool:
    try:
        return checked_user(name) == name
    except Rejected:
        return False


def _key(name: str) -> bytes:
    return sha256(name.encode(errors="surrogatepass")).digest()
