"""What passed in each month, out of the throughput's windows of one day.

A day of these begins at 00:00 UTC, which is 07:00 in Vietnam; a month is that of its days.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.reading import RECEIPT

MONTHLY = 550_000
"""Documents a month that passed over the national axis."""
TOTAL = 14_200_000
"""Documents that passed over it in all."""

_DAYS = """
SELECT start, sum(documents)::bigint, sum(deliveries)::bigint, sum(bytes)::bigint FROM throughput
WHERE size = 1440 AND outcome = 'accepted' AND kind <> %s AND recipient_level = 0 GROUP BY start ORDER BY start
"""


@dataclass(frozen=True, slots=True)
class Month:
    """Sums of one month, ``2026-11``. `bytes`: of attachments."""

    name: str
    documents: int
    deliveries: int
    bytes: int


def read(store: ThroughputStore) -> list[Month]:
    """All months in which anything was accepted, the oldest first. Raises: Unavailable."""
    with store.snapshot() as connection:
        return months(connection.execute(_DAYS, [RECEIPT]))


def months(days: Iterable[tuple[int, int, int, int]]) -> list[Month]:
    """Days (minutes since 1970, documents, deliveries, bytes), in their order, as months."""
    found = []
    for name, rows in groupby(days, key=lambda row: datetime.fromtimestamp(row[0] * 60, UTC).strftime("%Y-%m")):
        sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
        found.append(Month(name, *sums))
    return found


def as_csv(rows: Iterable[Month]) -> bytes:
    """RFC 4180, with the names of `Month`."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(("month", "documents", "deliveries", "bytes"))
    writer.writerows((row.name, row.documents, row.deliveries, row.bytes) for row in rows)
    return written.getvalue().encode()
