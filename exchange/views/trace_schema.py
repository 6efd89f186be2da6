"""The layout of the trace store in PostgreSQL: applied, recognised, dropped.

Guarantees: applying is idempotent, also by several processes at once; a schema that was made by another layout is
refused and never altered (docs/decisions/0004-projections-are-rebuilt-not-migrated.md).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from exchange.errors import Misconfigured

SCHEMA = "trace_v2"
"""The PostgreSQL schema of this version of the projection."""

TABLES = {
    "offsets": "topic, partition",
    "events": "source_topic, partition, source_offset",
    "documents": "thread, sender, id",
    "deliveries": "source_topic, partition, source_offset, recipient",
}
"""The tables, and the order of their rows (the primary key)."""

_FILE = Path(__file__).with_name("trace_schema.sql")


def layout_digest(source: str) -> str:
    """Name a layout by the SHA-256 of its SQL, in which comments and white space don't count."""
    bare = re.sub(r"--[^\n]*", "", source)
    return "layout sha256:" + hashlib.sha256(" ".join(bare.split()).encode()).hexdigest()


def apply(connection: Connection[Any], schema: str, file: Path = _FILE) -> None:
    """Make the schema and all that is in it, unless it is there; in the connection's open transaction.

    `file`: the SQL of its layout.

    Raises: Misconfigured if the schema has another layout: it must be rebuilt.
    """
    source = file.read_text(encoding="utf-8")
    digest = layout_digest(source)
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [schema])
    found = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [schema]
    ).fetchone()
    if found is not None:
        if found[0] != digest:
            raise Misconfigured([f"the schema {schema} has another layout: rebuild the trace store"])
        return
    name = sql.Identifier(schema)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(name, sql.Literal(digest)))
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(name))
    connection.execute(source.encode())


def drop(connection: Connection[Any], schema: str) -> None:
    """Remove the schema and all that is in it, if it is there; in the connection's open transaction."""
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def rename(connection: Connection[Any], schema: str, new: str) -> None:
    """Give the schema another name; in the connection's open transaction."""
    names = sql.Identifier(schema), sql.Identifier(new)
    connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(*names))
