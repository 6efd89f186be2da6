"""A connector's memory: one SQLite file, versioned.

Guarantees: what a transaction ended for is on the disk (``synchronous = FULL``). One process a book; several threads
may share it, one statement at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.errors import Misconfigured

WAIT_S = 10.0


def open_book(path: Path, schema: str, version: int = 1) -> sqlite3.Connection:
    """The book in a file, made by `schema` if missing. Raises: Misconfigured if it is another's."""
    try:
        sql = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        sql.row_factory = sqlite3.Row
        sql.execute("PRAGMA journal_mode = WAL")
        sql.execute("PRAGMA synchronous = FULL")
        [[found]] = sql.execute("PRAGMA user_version")
        if found == 0:
            with transaction(sql):
                for statement in schema.split(";\n"):
                    sql.execute(statement)
                sql.execute(f"PRAGMA user_version = {version}")
        elif found != version:
            raise Misconfigured([f"{path} has version {found}, this is {version}: use what wrote it"])
    except sqlite3.Error as exc:
        raise Misconfigured([f"{path} is no book of ours: {exc}"]) from exc
    return sql


@contextmanager
def transaction(sql: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        sql.execute("ROLLBACK")
        raise
    sql.execute("COMMIT")
