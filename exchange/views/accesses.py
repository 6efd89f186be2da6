"""Who looked at a document as an auditor: the topic ``audit.accesses``, made findable in PostgreSQL.

Guarantees: whoever asks is answered out of all that was recorded before; each record counts once, also when several
ask at once, for rows and offset are one transaction and one is let in at a time. Nothing runs in the background:
accesses are few beside documents, so who asks reads the rest of the topic first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from psycopg import Connection

from exchange.backbone.accesses import ACCESSES, decode
from exchange.backbone.clients import Config
from exchange.backbone.durable import Place
from exchange.backbone.reading import Read, read_to_end
from exchange.views import trace_schema
from exchange.views.trace_path import Look
from exchange.views.trace_store import TraceStore

SCHEMA = "accesses_v1"
"""The PostgreSQL schema of this version of the view."""

ACCESSES_MAX = 1_000
"""Of one document, the newest are shown."""

_FILE = Path(__file__).with_name("access_schema.sql")
_BEGIN = "INSERT INTO position VALUES (%s, 0) ON CONFLICT DO NOTHING"
_LOCK = "SELECT next_offset FROM position WHERE topic = %s FOR UPDATE"
_ADVANCE = "UPDATE position SET next_offset = %s WHERE topic = %s"
_OF = """
SELECT DISTINCT a.record_offset, a.append_ms, a.action, a.by, a.reason, a.asked, encode(a.access, 'hex')
FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS p (topic, partition, source_offset)
JOIN shown s ON s.source_topic = p.topic AND s.partition = p.partition AND s.source_offset = p.source_offset
JOIN accesses a USING (record_offset)
ORDER BY a.record_offset DESC LIMIT %s
"""


class AccessStore:
    """The view in a database. `schema`: the PostgreSQL schema that it lives in; `topic`: what it is of."""

    def __init__(self, base: Config, database_url: str, schema: str = SCHEMA, topic: str = ACCESSES) -> None:
        self._base = base
        self._database = TraceStore(database_url, schema)
        self._topic = topic

    def looks_at(self, places: Iterable[Place]) -> list[Look]:
        """Who looked at any of these submissions, the latest first, at most `ACCESSES_MAX`. Raises: Unavailable."""
        self.catch_up()
        columns = [list(column) for column in zip(*places, strict=True)] or [[], [], []]
        with self._database.connect() as connection:
            return [Look(*row) for row in connection.execute(_OF, [*columns, ACCESSES_MAX])]

    def catch_up(self) -> None:
        """Read the topic to its end. Raises: Unavailable."""
        with self._database.connect() as connection:
            trace_schema.apply(connection, self._database.schema, _FILE)
        with self._database.connect() as connection:
            connection.execute(_BEGIN, [self._topic])
            row = connection.execute(_LOCK, [self._topic]).fetchone()
            start = row[0] if row else 0
            for portion in read_to_end(self._base, {(self._topic, 0): start}):
                _write(connection, portion)
                connection.execute(_ADVANCE, [portion[-1].offset + 1, self._topic])


def _write(connection: Connection[Any], portion: Sequence[Read]) -> None:
    records = [(read, decode(read.value)) for read in portion]
    with connection.cursor() as cursor:
        with cursor.copy("COPY accesses FROM STDIN") as copy:
            for read, fields in records:
                head = (read.offset, fields["access"], read.append_ms, fields["action"])
                copy.write_row((*head, fields["by"], fields["reason"], fields["asked"]))
        with cursor.copy("COPY shown FROM STDIN") as copy:
            for read, fields in records:
                for group in fields["shown"]:
                    for offset in dict.fromkeys(group["offsets"]):
                        copy.write_row((group["topic"], group["partition"], offset, read.offset))
