"""*Documents*: the auditor's search, one document's way, its evidence. A reason comes first; every look is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from nicegui import ui

from exchange.agencies import DirectoryView
from exchange.console.elements import element, hostile, text
from exchange.console.pages.acting import Saying
from exchange.console.pages.way import Way
from exchange.console.reading.looking import REASON_CHARACTERS_MAX, Auditor
from exchange.console.texts import VIETNAM, Words
from exchange.console.visit import Visit, beside
from exchange.errors import Rejected
from exchange.views.search import OUTCOMES, STATUSES, Found, Query, below

_FIELDS = ("subject", "code", "id", "sender", "recipient", "since", "until")
_DAYS = frozenset({"since", "until"})


async def build(visit: Visit) -> None:
    """Build the page; an ``id`` in the address is asked for once the reason is given."""
    _Documents(visit)


class _Documents:
    """The page's state: what is asked, what was found."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._words = visit.words
        self._form = _Form(visit.words, visit.query.get("id", ""))
        self._form.element.on("submit.prevent", self._search)
        self._saying = Saying(visit.words)
        self._found = element("section", "found")
        self._way = element("section", "way")
        self._cursor: str | None = None
        self._query: Query | None = None
        self._button: ui.button | None = None

    async def _search(self) -> None:
        async with self._saying.at_work():
            auditor = await self._auditor()
            values = self._form.values()
            self._query = await beside(lambda: self._visit.deployment.ask(lambda view: _query(values, view)))
            self._cursor = None
            self._found.clear()
            self._found.set_visibility(True)
            self._button = None
            self._way.clear()
            await self._more(auditor)

    async def _export(self) -> None:
        async with self._saying.at_work():
            auditor, query = await self._auditor(), self._query
            if query is not None:
                ui.download.content(await beside(lambda: auditor.export(query)), "found.csv", "text/csv")

    async def _go_on(self) -> None:
        async with self._saying.at_work():
            await self._more(await self._auditor())

    async def _more(self, auditor: Auditor) -> None:
        query, cursor = self._query, self._cursor
        if query is None:
            return
        page = await beside(lambda: auditor.search(query, cursor))
        if self._button is not None:
            self._button.delete()
            self._button = None
        self._cursor = page.cursor
        with self._found:
            if cursor is None:
                text("h2", self._words("documents.found")).props('tabindex="-1" id="found"')
                if page.results:
                    ui.button(self._words("documents.export"), on_click=self._export).props("flat no-caps")
                else:
                    text("p", self._words("documents.nothing"), "hint")
            for one in page.results:
                self._draw(one)
            if page.cursor is not None:
                more = ui.button(self._words("documents.more")).props("flat no-caps")
                more.on("click", self._go_on)
                self._button = more

    def _draw(self, one: Found) -> None:
        words = self._words
        with element("article", f"card result {one.outcome}"):
            with element("p", "line"):
                text("time", words.clock(one.append_ms))
                text("b", words.named("kind", one.kind) if one.type is None else one.type)
                if one.code:
                    hostile("bdi", one.code)
                if one.outcome != "accepted":
                    text("strong", f"{words.named('outcome', one.outcome)} {one.rejection}".strip(), "bad")
            with element("h3"), element("button", "open").props('type="button"') as opening:
                hostile("bdi", one.subject or one.id or words("documents.unnamed"))
            opening.on("click", lambda: self._open(one.id, one.sender, one.thread))
            with element("p", "line"):
                hostile("bdi", one.sender)
                if not one.verified:
                    text("span", words("documents.claimed"), "bad")
                text("span", "→")
                hostile("bdi", ", ".join(one.recipients or ()) or "–")
                rest = one.copies - len(one.recipients or ())
                if rest > 0:
                    text("span", words("documents.and_more", count=words.number(rest)))
                if one.business is not None:
                    text("span", words("documents.receipts", done=one.acknowledged, all=one.copies), "receipts")

    async def _open(self, id_: str, sender: str, thread: str) -> None:
        async with self._saying.at_work():
            auditor = await self._auditor()
            path = await beside(lambda: auditor.trace(id_, sender, thread))
            self._way.clear()
            self._found.set_visibility(False)
            with self._way:
                Way(self._visit, auditor, path, id_, self._back)
        ui.run_javascript('document.getElementById("way")?.focus()')

    def _back(self) -> None:
        self._way.clear()
        self._found.set_visibility(True)
        ui.run_javascript('document.getElementById("found")?.focus()')

    async def _auditor(self) -> Auditor:
        return Auditor(self._visit.deployment, await self._visit.require(), self._form.reason())


class _Form:
    """What is asked, field by field."""

    def __init__(self, words: Words, id_: str) -> None:
        with element("form", "card asking") as self.element:
            self._reason = ui.input(words("documents.reason")).props(
                f'outlined dense maxlength="{REASON_CHARACTERS_MAX}"'
            )
            self._reason.classes("reason").props(f'hint="{words("documents.reason_hint")}"')
            self._inputs: dict[str, ui.input] = {}
            with element("div", "fields"):
                for name in _FIELDS:
                    self._inputs[name] = ui.input(words(f"documents.{name}")).props("outlined dense maxlength=500")
                    if name in _DAYS:
                        self._inputs[name].props("type=date stack-label")
                outcomes = {"": words("documents.any"), **{one: words(f"outcome.{one}") for one in OUTCOMES}}
                self._outcome = ui.select(outcomes, value="", label=words("documents.outcome")).props("outlined dense")
                copies = {"": words("documents.any"), **{one: words(f"copy.{one}") for one in STATUSES}}
                self._status = ui.select(copies, value="", label=words("documents.status")).props("outlined dense")
            with element("div", "line"):
                self._below = ui.checkbox(words("documents.below"), value=True)
                ui.button(words("documents.search")).props("unelevated no-caps type=submit")
        self._inputs["id"].value = id_[:500]

    def reason(self) -> str:
        return str(self._reason.value or "")

    def values(self) -> dict[str, Any]:
        """What is filled in; nothing of what isn't."""
        filled = {name: str(one.value or "").strip() for name, one in self._inputs.items()}
        filled |= {"outcome": str(self._outcome.value or ""), "status": str(self._status.value or "")}
        return {name: value for name, value in filled.items() if value} | {"below": bool(self._below.value)}


def _query(values: Mapping[str, Any], view: DirectoryView) -> Query:
    """The form as a query. Raises: Rejected ``search.*``, ``agency.unknown``."""
    agencies = below.tree if values["below"] else below.agency
    return Query(
        subject=values.get("subject"),
        code=values.get("code"),
        id=values.get("id"),
        sender=agencies(view, values["sender"]) if "sender" in values else None,
        recipient=agencies(view, values["recipient"]) if "recipient" in values else None,
        outcome=values.get("outcome"),
        status=values.get("status"),
        since_ms=_midnight(values.get("since")),
        until_ms=_midnight(values.get("until"), days=1),
    )


def _midnight(day: str | None, days: int = 0) -> int | None:
    """When that day begins in Vietnam, or the one so many days later."""
    if day is None:
        return None
    try:
        found = date.fromisoformat(day) + timedelta(days)
    except (ValueError, OverflowError) as exc:
        raise Rejected("search.range", day[:40]) from exc
    return int(datetime(found.year, found.month, found.day, tzinfo=VIETNAM).timestamp() * 1000)
