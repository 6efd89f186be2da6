"""Hours, as the books are closed by: named in Vietnam's time (``2026-11-25T09``), as the period of a report is.

An hour of a source partition is a range of offsets: from the first record that was appended at or after its beginning
to the first at or after its end. So a record whose time stepped back with the broker's clock belongs to the hour that
was open when it came, and no closed hour ever gains a record.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from exchange.errors import Rejected

BOOKS_REGIME = "exchange.books"
"""The regime of the reports by which the backbone closes its hours."""

HOUR_MS = 3_600_000
_ZONE = timezone(timedelta(hours=7))
_NAME = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])", re.ASCII)


class Hour(NamedTuple):
    """One hour, by its beginning (ms since 1970 UTC)."""

    start_ms: int

    @classmethod
    def of(cls, ms: int) -> Hour:
        """The hour that holds a moment."""
        return cls(ms - ms % HOUR_MS)

    @classmethod
    def named(cls, name: str) -> Hour:
        """The hour of that name; Rejected ``hour.name``."""
        if _NAME.fullmatch(name) is None:
            raise Rejected("hour.name", f"{name[:40]!r} is no hour like 2026-11-25T09")
        try:
            moment = datetime.strptime(name, "%Y-%m-%dT%H").replace(tzinfo=_ZONE)
        except ValueError as exc:  # the 31st of a month that has none
            raise Rejected("hour.name", f"{name!r}: {exc}") from exc
        return cls(int(moment.timestamp() * 1000))

    @property
    def end_ms(self) -> int:
        """Where the next one begins."""
        return self.start_ms + HOUR_MS

    @property
    def before(self) -> Hour:
        """The one before."""
        return Hour(self.start_ms - HOUR_MS)

    @property
    def name(self) -> str:
        """As people and reports write it."""
        return datetime.fromtimestamp(self.start_ms / 1000, UTC).astimezone(_ZONE).strftime("%Y-%m-%dT%H")

    @property
    def books_id(self) -> str:
        """The id of the report that closes it."""
        return f"books-{self.name}"
