"""Who has gone silent: when each province last sent, and since when the oldest unacknowledged copy waits.

Read from the trace store by its indexes, so the cost doesn't grow with what is stored: newest first for a province that
is heard often, by its term for one that isn't, as PostgreSQL's statistics tell it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from psycopg import sql

from exchange.agencies.levels import Level
from exchange.agencies.resolution import is_open
from exchange.agencies.view import DirectoryView
from exchange.views.trace_store import TraceStore
from exchange.views.trace_terms import vector

TIMEOUT_MS = 20_000

# The term stands in the text, not as a parameter: the plan depends on how often it occurs.
_LAST = """
SELECT append_ms FROM events
WHERE terms @@ {query} AND terms IS NOT NULL AND outcome = 'accepted' ORDER BY append_ms DESC LIMIT 1
"""
_OLDEST = "SELECT min(delivered_ms) FROM deliveries WHERE delay_ms IS NULL AND delivered_ms IS NOT NULL"


def provinces(view: DirectoryView, on: date) -> list[str]:
    """The codes of the provinces that there are on that day."""
    tops = (one for one in view.agencies() if one.level is Level.PROVINCE and "." not in one.code)
    return sorted(one.code for one in tops if is_open(one, on))


def last_sent_ms(store: TraceStore, codes: Iterable[str]) -> dict[str, int]:
    """When a unit of each province last sent a document or report that was accepted; 0: never.

    Raises: Unavailable.
    """
    found = {}
    with store.snapshot() as connection:
        connection.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
        for code in codes:
            query = sql.Literal(vector([f"S{code}"])) + sql.SQL("::tsquery")
            row = connection.execute(sql.SQL(_LAST).format(query=query)).fetchone()
            found[code] = 0 if row is None else int(row[0])
    return found


def oldest_unacknowledged_ms(store: TraceStore) -> int:
    """When the copy was delivered that has waited longest for a first receipt; 0: none waits. Raises: Unavailable."""
    with store.snapshot() as connection:
        connection.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
        row = connection.execute(_OLDEST).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])
