"""Which hours have to be closed: those that are over since the exchange was founded, and that nobody closed yet.

Guarantees: what was closed is read from the topic `reports` alone, so whoever closes hours keeps nothing, and goes
on where the one before stopped. A statement counts only if the backbone's seal on it verifies: nobody else can keep an
hour from being closed by naming it.

Does not look back further than a week: what is still open then is closed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from exchange.agencies import BACKBONE_CODE
from exchange.backbone.clients import Config, reader
from exchange.backbone.offsets import first_since
from exchange.backbone.reading import Read, partitions_of, read_one, read_to_end
from exchange.errors import Rejected, Unavailable
from exchange.signatures import Trust, admit
from exchange.statements import Topic
from exchange.statements.hours import BOOKS_REGIME, HOUR_MS, Hour

BACK_HOURS = 7 * 24

CLOCKS_MS = 5 * 60_000
"""An hour is over so long after its end by our clock, for a broker whose clock is behind."""

DIRECTORY = "directory"


class OpenHours:
    """The hours to close, asked for again and again: of the reports only those are read that may close one of them.

    `since`: from which hour on; None: the founding.
    """

    def __init__(self, base: Config, trust: Callable[[], Trust], since: Hour | None = None) -> None:
        self._base = base
        self._trust = trust
        self._since = since

    def at(self, now_ms: int) -> list[Hour]:
        """Those of now, oldest first. Raises: as `due`."""
        found = due(self._base, self._trust, now_ms, self._since)
        self._since = found[0] if found else max(Hour.of(now_ms - CLOCKS_MS), self._since or Hour(0))
        return found


def due(
    base: Config,
    trust: Callable[[], Trust],
    now_ms: int,
    since: Hour | None = None,
    back_hours: int = BACK_HOURS,
) -> list[Hour]:
    """The hours to close, oldest first. `trust`: by the newest directory, asked for if something was
    closed; `since`: from which on; None: the founding.

    Raises: Unavailable, Fenced.
    """
    end = Hour.of(now_ms - CLOCKS_MS)
    first = _founded(base, end) if since is None else since
    first = max(first, Hour(end.start_ms - back_hours * HOUR_MS))
    if first >= end:
        return []
    known = set(_stated(base, trust, first.end_ms))
    return [hour for ms in range(first.start_ms, end.start_ms, HOUR_MS) if (hour := Hour(ms)) not in known]


def _founded(base: Config, otherwise: Hour) -> Hour:
    """The hour of the directory's first record."""
    first = read_one(base, DIRECTORY, 0, 0)
    return otherwise if first is None else Hour.of(first.append_ms)


def _stated(base: Config, trust: Callable[[], Trust], since_ms: int) -> Iterator[Hour]:
    """The hours that the backbone stated since then."""
    asking = reader(base)
    try:
        starts: dict[tuple[str, int], int | None] = {
            (Topic.REPORTS, partition): first_since(asking, Topic.REPORTS, partition, since_ms)
            for partition in partitions_of(asking, Topic.REPORTS)
        }
    finally:
        asking.close()
    prefix = f"{BACKBONE_CODE}/{BOOKS_REGIME}/".encode()
    with closing(read_to_end(base, starts)) as portions:
        for portion in portions:
            for read in portion:
                hour = _hour_of(read, trust()) if (read.key or b"").startswith(prefix) else None
                if hour is not None:
                    yield hour


def _hour_of(read: Read, trust: Trust) -> Hour | None:
    """The hour that a report closes; None if it isn't the backbone's word."""
    try:
        fields = admit(read.value, read.append_ms, trust, storage_keys=None).statement.fields
        if (fields["sender"], fields.get("regime")) != (BACKBONE_CODE, BOOKS_REGIME):
            return None
        return Hour.named(fields["period"])
    except (Rejected, Unavailable):
        return None
