"""The directory as the gateway serves it: followed while it runs, searched with or without diacritics.

Guarantees: a revocation or a new certificate counts within a second of its publication; what is shown is the view of
one offset. All of it belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import heapq
import time
import unicodedata
from datetime import date

import structlog

from exchange.agencies import Agency, DirectoryView, Open, Redirected
from exchange.backbone.directory_log import DirectoryLog
from exchange.errors import Unavailable
from exchange.gateway.problems import Refused
from exchange.pipeline.routing import day_of
from exchange.signatures import Trust, TrustCache

INDEX_AGE_S = 5.0
"""The search may lag behind the directory by so much; building its index takes some 50 ms for 12,812 units."""
QUERY_CHARACTERS_MAX = 100

log = structlog.get_logger(__name__)


def fold(text: str) -> str:
    """Lower case without diacritics: ``Đặng`` becomes ``dang``."""
    split = unicodedata.normalize("NFD", text.casefold())
    return "".join(c for c in split if not unicodedata.combining(c)).replace("đ", "d")


class LiveDirectory:
    """The directory now. `roots`: DER of the trusted roots."""

    def __init__(self, directory_log: DirectoryLog, roots: list[bytes]) -> None:
        self.roots = roots
        self._log = directory_log
        self._cache = TrustCache()
        self._trust: Trust | None = None
        self._offset = -1
        self._index: list[tuple[str, Agency]] = []
        self._indexed_at = -INDEX_AGE_S
        self._indexed_offset = -1

    @property
    def view(self) -> DirectoryView:
        """The directory as of what we have read."""
        return self._log.directory.latest()

    @property
    def trust(self) -> Trust:
        """Which certificate may say what, by the same."""
        if self._trust is None or self._offset != self._log.directory.next_offset:
            view = self.view
            self._trust, self._offset = Trust(view, self.roots, self._cache), view.offset
        return self._trust

    async def run(self, every_s: float) -> None:
        """Follow until cancelled; InvariantBroken (a statement that isn't the registrar's) stops the process."""
        while True:
            try:
                self._log.poll(0.0)
            except Unavailable as exc:
                log.warning("gateway.directory_unreachable", detail=exc.detail[:200])
            await asyncio.sleep(every_s)

    def agency(self, code: str) -> Agency:
        """The agency with this code, in any spelling; Refused ``agency.unknown``."""
        found = self.view.agency(code)
        if found is None:
            raise Refused("agency.unknown", repr(code[:60]))
        return found

    def find(self, query: str, most: int) -> list[Agency]:
        """Agencies whose code begins with the query, or whose name holds all of its words; at most `most`."""
        words = fold(query[:QUERY_CHARACTERS_MAX]).split()
        if not words:
            return []
        wanted = query.strip().upper()
        by_code: list[Agency] = []
        by_name: list[Agency] = []
        for name, agency in self._searched():
            if agency.code.startswith(wanted):
                by_code.append(agency)
            elif len(by_name) < most and all(word in name for word in words):
                by_name.append(agency)
        return (sorted(by_code, key=lambda agency: agency.code) + by_name)[:most]

    def after(self, code: str, most: int) -> list[Agency]:
        """The agencies whose codes come after this one, in their order; at most `most`."""
        following = (agency for agency in self.view.agencies() if agency.code > code)
        return heapq.nsmallest(most, following, key=lambda agency: agency.code)

    def _searched(self) -> list[tuple[str, Agency]]:
        now, view = time.monotonic(), self.view
        if view.offset != self._indexed_offset and now - self._indexed_at >= INDEX_AGE_S:
            self._index = [(fold(agency.name), agency) for agency in view.agencies()]
            self._indexed_at, self._indexed_offset = now, view.offset
        return self._index


def standing(view: DirectoryView, agency: Agency, now_ms: int) -> tuple[str, str | None]:
    """``open``, ``redirected`` or ``closed`` today, and to whom documents go."""
    today: date = day_of(now_ms)
    match view.resolve(agency.code, today):
        case Open():
            return "open", None
        case Redirected(_, successor):
            return "redirected", successor.code
        case _:
            return "closed", None
