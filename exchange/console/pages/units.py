"""*Units*: who exchanges and who doesn't, from the country down to the commune; and all below a unit, ranked.

The tree is walked level by level and the ranking is read page by page: a browser never gets ten thousand rows.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from nicegui import ui

from exchange.console.deployment import Away
from exchange.console.elements import columns, element, hostile, link, text
from exchange.console.pages.acting import soon, tried_again
from exchange.console.visit import Visit
from exchange.views.coverage import DAYS, Coverage, Unit

ROWS = 100

RANKINGS: dict[str, Callable[[Unit], tuple[float, ...]]] = {
    "silent": lambda unit: (float(not unit.is_silent), float(unit.last_ms or 0)),
    "slow": lambda unit: (-(unit.delay_ms or -1.0),),
    "waiting": lambda unit: (-float(unit.waiting),),
    "busy": lambda unit: (-float(unit.sent[-1] + unit.received[-1]),),
}
"""How all below a unit can be ranked; the least first."""

_HEADS = ("units.unit", "units.active", "units.sent", "units.received", "units.last", "units.delay", "units.waiting")


async def build(visit: Visit) -> None:
    """Build the page; ``unit`` in the address is the code of the one to look below, ``by`` how all below are ranked."""
    place = element("div").props('aria-busy="true"')

    async def load() -> None:
        found = await visit.pulse.coverage.get()
        place.props('aria-busy="false"')
        with place:
            if isinstance(found, Away):
                tried_again(visit.words, found)
            else:
                _show(visit, found)

    soon(load)


def _show(visit: Visit, found: Coverage) -> None:
    tops = visit.session.tops("units")
    first = found.children.get(None, []) if tops is None else found.topmost(tops)
    code = visit.query.get("unit")
    if code is not None and not any(unit in first for unit in found.above(code)):
        text("p", visit.words("units.unknown"), "notice")
        code = None
    if code is None and len(first) == 1:
        code = first[0].code
    _Units(visit, found, first, code)


class _Units:
    """What is shown of one unit, or of the first ones. `first`: the topmost that may be seen."""

    def __init__(self, visit: Visit, found: Coverage, first: list[Unit], code: str | None) -> None:
        self._visit, self._words, self._found, self._first, self._code = visit, visit.words, found, first, code
        self._looked_at = first if code is None else [found.units[code]]
        self._shown = 0
        self._path()
        self._figures()
        by = visit.query.get("by", "")
        with element("nav", "line").props(f'aria-label="{self._words("units.view")}"'):
            self._choice("units.tree", None, is_current=by not in RANKINGS)
            for name in RANKINGS:
                self._choice(f"units.by_{name}", name, is_current=name == by)
        rows = first if code is None else found.children.get(code, [])
        if by in RANKINGS:
            rows = sorted(self._within(), key=lambda unit: (RANKINGS[by](unit), unit.code))
        self._rows = rows
        with element("div", "card scroll"):
            with element("table", "rows units"):
                columns(*map(self._words, _HEADS), numbers=(1, 2, 3, 5, 6))
                self._body = element("tbody")
            if not rows:
                text("p", self._words("units.none_below"), "hint")
        self._more = ui.button(self._words("documents.more"), on_click=self._draw).props("flat no-caps")
        self._draw()
        text("p", self._words("units.as_of", at=self._words.clock(found.at_ms)), "hint")

    def _path(self) -> None:
        with element("nav", "line crumbs").props(f'aria-label="{self._words("units.path")}"'):
            is_all = self._visit.session.tops("units") is None
            link(self._words("units.country" if is_all else "units.scope"), self._address(None))
            above = [] if self._code is None else self._found.above(self._code)
            while above and above[0] not in self._first:  # beyond what may be seen
                above.pop(0)
            for unit in above[1:] if len(self._first) == 1 and is_all else above:
                text("span", "›")
                link(visible_name(unit), self._address(unit.code))

    def _within(self) -> list[Unit]:
        return [unit for top in self._looked_at for unit in self._found.within(top.code)]

    def _figures(self) -> None:
        words = self._words
        below = sum(unit.below for unit in self._looked_at)
        active = [sum(unit.active[place] for unit in self._looked_at) for place in range(len(DAYS))]
        silent = sum(1 for unit in self._within() if unit.is_silent)
        with element("dl", "figures"):
            for days, count in zip(DAYS, active, strict=True):
                with element("div", "figure"):
                    text("dt", words(f"units.in_{days}"))
                    text("dd", words.percent(count, below))
                    text("dd", words("units.of", count=words.number(count), all=words.number(below)), "small")
            with element("div", "figure"):
                text("dt", words("units.silent"))
                text("dd", words.number(silent))
                text("dd", words("units.silent_hint"), "small")

    def _choice(self, key: str, by: str | None, *, is_current: bool) -> None:
        chosen = link(self._words(key), self._address(self._code, by), "choice")
        if is_current:
            chosen.props('aria-current="true"')

    def _address(self, code: str | None, by: str | None = None) -> str:
        asked = [] if code is None else [f"unit={quote(code)}"]
        asked += [] if by is None else [f"by={by}"]
        return f"/{self._words.language}/units" + ("?" + "&".join(asked) if asked else "")

    def _draw(self) -> None:
        with self._body:
            for unit in self._rows[self._shown : self._shown + ROWS]:
                self._row(unit)
        self._shown += ROWS
        self._more.set_visibility(self._shown < len(self._rows))

    def _row(self, unit: Unit) -> None:
        words = self._words
        with element("tr"):
            with element("td"):
                if self._found.children.get(unit.code):
                    link(visible_name(unit), self._address(unit.code))
                else:
                    hostile("bdi", unit.name)
                text("span", f"{unit.code} · {words.level(unit.level)}", "under")
            with element("td", "number"):
                text("b", words.percent(unit.active[-1], unit.below))
                text("span", f"{words.number(unit.active[-1])}/{words.number(unit.below)}", "under")
            text("td", " · ".join(map(words.number, unit.sent)), "number")
            text("td", " · ".join(map(words.number, unit.received)), "number")
            text("td", "–" if unit.last_ms is None else words.day(unit.last_ms), "" if unit.last_ms else "bad")
            text("td", "–" if unit.delay_ms is None else words.duration(unit.delay_ms / 1000), "number")
            text("td", words.number(unit.waiting), "number")


def visible_name(unit: Unit) -> str:
    """A unit's name, for a link."""
    return unit.name if unit.name.isprintable() else unit.code
