"""Where accounts are kept: a PostgreSQL schema of their own, which nothing can rebuild.

Guarantees: a name is given once, also when two ask at a time; closing an account ends its sessions in the same
transaction. Passwords come and go as argon2 hashes only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from psycopg import Connection, errors

from exchange.accounts.naming import checked_user
from exchange.errors import Rejected
from exchange.operating.deciding import checked_name
from exchange.views import trace_schema
from exchange.views.trace_store import TraceStore

SCHEMA = "accounts_v1"

_FILE = Path(__file__).with_name("accounts_schema.sql")
_ALL = "SELECT name, full_name, password, issuer, subject, created_ms, closed_ms FROM accounts ORDER BY name"
_BY_NAME = """
SELECT name, full_name, password, issuer, subject, created_ms, closed_ms FROM accounts WHERE name = %s
"""
_BY_SUBJECT = """
SELECT name, full_name, password, issuer, subject, created_ms, closed_ms FROM accounts
WHERE issuer = %s AND subject = %s
"""
_ADD = """
INSERT INTO accounts (name, full_name, password, issuer, subject, created_ms, closed_ms)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_RENEW = "UPDATE accounts SET password = %s WHERE name = %s AND closed_ms IS NULL"
_CLOSE = "UPDATE accounts SET closed_ms = %s WHERE name = %s AND closed_ms IS NULL"
_REHASH = "UPDATE accounts SET password = %s WHERE name = %s AND password = %s"


class Account(NamedTuple):
    """One account. `password`: argon2id; None if it logs in at an OpenID provider, as `subject` of `issuer`."""

    name: str
    full_name: str
    password: str | None
    issuer: str | None
    subject: str | None
    created_ms: int
    closed_ms: int | None


class AccountStore:
    """The accounts in a database. `schema`: the PostgreSQL schema that they live in."""

    def __init__(self, database_url: str, schema: str = SCHEMA) -> None:
        self._database = TraceStore(database_url, schema)

    def prepare(self) -> None:
        """Make the tables, unless they are there. Raises: Unavailable, Misconfigured."""
        with self._database.connect() as connection:
            trace_schema.apply(connection, self._database.schema, _FILE)

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """A connection whose block is one transaction. Raises: Unavailable, InvariantBroken."""
        with self._database.connect() as connection:
            yield connection

    def add(
        self,
        name: str,
        full_name: str,
        now_ms: int,
        *,
        password: str | None = None,
        openid: tuple[str, str] | None = None,
    ) -> Account:
        """Make an account. `password`: hashed; `openid`: issuer and subject.

        Raises: Rejected ``account.name``, ``account.exists``, ``decision.text``.
        """
        issuer, subject = openid if openid is not None else (None, None)
        made = Account(checked_user(name), checked_name(full_name), password, issuer, subject, now_ms, None)
        with self.transaction() as connection:
            try:
                connection.execute(_ADD, made)
            except errors.UniqueViolation as exc:
                raise Rejected("account.exists", made.name) from exc
        return made

    def account(self, name: str) -> Account | None:
        """The account with this name; None if there is none."""
        return self._one(_BY_NAME, [name])

    def account_of(self, issuer: str, subject: str) -> Account | None:
        """Whom an OpenID provider means; None if nobody."""
        return self._one(_BY_SUBJECT, [issuer, subject])

    def accounts(self) -> list[Account]:
        """All of them, closed ones too, by name."""
        with self.transaction() as connection:
            rows = connection.execute(_ALL)
            return [Account(*row) for row in rows]

    def set_password(self, name: str, password: str) -> None:
        """Replace the hash, and end all sessions; Rejected ``account.unknown``."""
        self._change(_RENEW, [password, name], name)

    def rehash(self, name: str, before: str, password: str) -> None:
        """Keep the same password by newer parameters, unless it was changed meanwhile."""
        with self.transaction() as connection:
            connection.execute(_REHASH, [password, name, before])

    def close(self, name: str, now_ms: int) -> None:
        """Let it be used no more, and end all sessions; Rejected ``account.unknown``."""
        self._change(_CLOSE, [now_ms, name], name)

    def _one(self, query: str, values: list[str]) -> Account | None:
        with self.transaction() as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return None if row is None else Account(*row)

    def _change(self, statement: str, values: list[Any], name: str) -> None:
        with self.transaction() as connection:
            if connection.execute(statement.encode(), values).rowcount != 1:
                raise Rejected("account.unknown", name[:80])
            connection.execute("DELETE FROM sessions WHERE name = %s", [name])
