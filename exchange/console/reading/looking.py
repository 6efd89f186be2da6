"""An auditor's looks: searching, one document's way, its evidence. Each is recorded before anything is shown.

Guarantees: what these return was recorded in ``audit.accesses`` (exchange/backbone/accesses.py) under the session's
name, with a reason. A reason is one printable line.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path as File
from tempfile import TemporaryDirectory

from exchange.agencies import DirectoryView
from exchange.backbone.accesses import Access, Accesses, Action
from exchange.backbone.durable import Place
from exchange.backbone.reading import read_one
from exchange.console.deployment import Deployment
from exchange.console.reading.dead_letters import Group, Letter, Opened, listed, opened
from exchange.console.session import Session
from exchange.errors import Rejected
from exchange.views.accesses import AccessStore
from exchange.views.erasing import with_erasings
from exchange.views.search import LIMIT, LIMIT_MAX, Found, Page, Query, pages, search
from exchange.views.search.exporting import exported
from exchange.views.signed import with_leaders, with_roles
from exchange.views.suspects import marked
from exchange.views.trace_path import Path
from exchange.views.tracing import Ambiguous, trace

REASON_CHARACTERS_MAX = 400
ID_CHARACTERS_MAX = 200
EXPORTED_MAX = 20_000
"""Rows of a file that a page hands out; `exchange search --export` has no such limit."""


class Auditor:
    """Whoever looks, and why. Its methods wait for the services: call them in a thread."""

    def __init__(self, deployment: Deployment, session: Session, reason: str) -> None:
        """Raises: Rejected ``access.reason``."""
        self._deployment = deployment
        self._session = session
        self._reason = reason.strip()
        if not 0 < len(self._reason) <= REASON_CHARACTERS_MAX or not self._reason.isprintable():
            raise Rejected("access.reason", f"one line of 1 to {REASON_CHARACTERS_MAX} characters, please")

    def search(self, query: Query, cursor: str | None = None) -> Page:
        """One page of what is found. Raises: Rejected ``search.*``, ``cursor.*``; Unavailable."""
        self._keep_within(query)
        page = search(self._deployment.traces(), query, limit=LIMIT, cursor=cursor)
        self._record("search", query.spelled(), [_place(one) for one in page.results])
        return page

    def export(self, query: Query) -> bytes:
        """All that is found, as a CSV file (docs/searching.md).

        Raises: as `search`; Rejected ``search.too_many`` beyond `EXPORTED_MAX`.
        """
        self._keep_within(query)
        access = Access("export", self._session.who, self._reason, query.spelled())
        accesses, written = Accesses(self._deployment.base()), 0
        with TemporaryDirectory() as folder:
            file = File(folder) / "found.csv"
            with exported(file) as write:
                now_ms = time.time_ns() // 1_000_000
                for page in pages(self._deployment.traces(), query, size=LIMIT_MAX, as_of_ms=now_ms):
                    written += len(page.results)
                    if written > EXPORTED_MAX:
                        raise Rejected("search.too_many", f"> {EXPORTED_MAX:,}")
                    accesses.record(access, [_place(one) for one in page.results])
                    write(page.results)
            return file.read_bytes()

    def trace(self, id_: str, sender: str | None = None, thread: str | None = None) -> Path | None:
        """The way of the document, and who looked at it; None if nothing ever bore the id.

        Raises: Rejected ``trace.id``, ``trace.ambiguous``; Unavailable.
        """
        if not 0 < len(id_) <= ID_CHARACTERS_MAX:
            raise Rejected("trace.id", f"1 to {ID_CHARACTERS_MAX} characters, please")
        try:
            path = trace(self._deployment.traces(), id_, sender, thread)
        except Ambiguous as exc:
            self._record("trace", id_, [])
            raise Rejected(exc.code, exc.detail) from exc
        if path is not None and not self._is_theirs(path):
            raise Rejected("permission.missing", "neither sent nor received within your scope")
        self._record("trace", id_, [] if path is None else path.places())
        return None if path is None else self._told(path)

    def evidence(self, path: Path) -> bytes:
        """The file that proves the way. Raises: Rejected ``evidence.*``; Unavailable ``ledger.behind``."""
        if path.document is None:
            raise Rejected("evidence.not_accepted", path.id)
        if path.erasings:
            raise Rejected("evidence.erased", path.id)
        self._record("export", path.id, path.places())
        return self._deployment.evidence(path)

    def dead_letters(self, group: Group, days: int) -> list[Letter]:
        """The newest dead letters of a group. Raises: Unavailable."""
        found = listed(self._deployment.traces(), group, days)
        asked = json.dumps({"dead_letters": group.code, "sender": group.sender, "days": days}, ensure_ascii=False)
        self._record("search", asked, [(one.topic, one.partition, one.offset) for one in found])
        return found

    def dead_letter(self, letter: Letter) -> Opened | None:
        """One of them, with its bytes. Raises: Unavailable."""
        self._record("trace", letter.place, [(letter.topic, letter.partition, letter.offset)])
        return opened(self._deployment, letter)

    def _keep_within(self, query: Query) -> None:
        """Whoever may look at a part of the country asks for what that part sent, or for what it received."""
        tops = self._session.tops("documents")
        if tops is None:
            return
        named = [one for one in (query.sender, query.recipient) if one is not None]
        if not self._deployment.ask(lambda v: any(all(_below(v, tops, part.code) for part in one) for one in named)):
            raise Rejected("permission.scope", ", ".join(sorted(tops)))

    def _is_theirs(self, path: Path) -> bool:
        """Whether somebody within the scope sent it or was to receive it."""
        tops = self._session.tops("documents")
        if tops is None:
            return True
        codes = {entry.sender for entry in path.entries() if entry.verified}
        if path.document is not None:
            codes = {path.document.entry.sender, *(one.recipient for one in path.document.deliveries)}
        return self._deployment.ask(lambda view: any(_below(view, tops, code) for code in codes))

    def _record(self, action: Action, asked: str, places: list[Place]) -> None:
        Accesses(self._deployment.base()).record(Access(action, self._session.who, self._reason, asked), places)

    def _told(self, path: Path) -> Path:
        place = self._deployment
        looks = AccessStore(place.base(), place.database_url()).looks_at(path.places())
        kept = None
        if path.document is not None:
            entry = path.document.entry
            kept = read_one(place.base(), entry.source_topic, entry.partition, entry.source_offset)
        submission = None if kept is None else kept.value

        def told(view: DirectoryView) -> Path:
            signed = with_leaders(with_roles(marked(path, place.trust().compromised), view), view, submission)
            return with_erasings(signed, view)

        return replace(place.ask(told), looks=tuple(looks))


def _place(one: Found) -> Place:
    return (one.source_topic, one.partition, one.source_offset)


def _below(view: DirectoryView, tops: frozenset[str], code: str) -> bool:
    """Whether the agency is at or below one of these; an unknown one isn't."""
    found = view.agency(code)
    return found is not None and (found.code in tops or any(above.code in tops for above in view.ancestors(found.code)))
