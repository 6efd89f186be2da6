"""*Dead letters*: what was refused or set aside, by code and sender; one of them decoded, beside its raw bytes."""

from __future__ import annotations

from nicegui import ui

from exchange.console.elements import columns, element, hostile, link, text
from exchange.console.pages.acting import Saying, soon
from exchange.console.pages.redriving import Redriving
from exchange.console.reading import dead_letters
from exchange.console.reading.dead_letters import PERIODS, Group, Letter, Opened
from exchange.console.reading.looking import REASON_CHARACTERS_MAX, Auditor
from exchange.console.reading.redriving import Operator
from exchange.console.visit import Visit, beside

_WIDTH = 16


async def build(visit: Visit) -> None:
    """Build the page; ``days`` in the address is how far it looks back."""
    soon(_DeadLetters(visit).read)


class _DeadLetters:
    def __init__(self, visit: Visit) -> None:
        self._visit, self._words = visit, visit.words
        asked = visit.query.get("days", "")
        self._days = next((days for days in PERIODS if str(days) == asked), PERIODS[1])
        with element("nav", "line").props(f'aria-label="{self._words("dead.period")}"'):
            for days in PERIODS:
                chosen = link(
                    self._words(f"dead.days_{days}"), f"/{self._words.language}/dead-letters?days={days}", "choice"
                )
                if days == self._days:
                    chosen.props('aria-current="true"')
        self._reason = ui.input(self._words("documents.reason")).classes("reason")
        self._reason.props(
            f'outlined dense maxlength="{REASON_CHARACTERS_MAX}" hint="{self._words("dead.reason_hint")}"'
        )
        self._saying = Saying(self._words)
        self._groups = element("section", "card scroll")
        self._listed = element("section")
        self._opened = element("section")

    async def read(self) -> None:
        """Count the groups."""
        words = self._words
        async with self._saying.at_work():
            found = await beside(lambda: dead_letters.groups(self._visit.deployment.traces(), self._days))
            self._groups.clear()
            with self._groups, element("table", "rows"):
                columns(*map(words, ("dead.code", "dead.sender", "dead.count", "dead.last", "dead.open")), numbers=(2,))
                with element("tbody"):
                    for group in found:
                        self._row(group)
                    if not found:
                        with element("tr"):
                            text("td", words("dead.none"), "empty").props('colspan="5"')

    def _row(self, group: Group) -> None:
        words = self._words
        with element("tr"):
            text("td", group.code)
            with element("td"):
                hostile("bdi", group.sender or "–")
                if not group.verified:
                    text("span", words("documents.claimed"), "under")
            text("td", words.number(group.letters), "number")
            text("td", words.clock(group.last_ms))
            with element("td"), element("button", "open").props('type="button"') as opening:
                text("span", words("dead.list"))
            opening.on("click", lambda: self._list(group))

    async def _list(self, group: Group) -> None:
        async with self._saying.at_work():
            auditor = await self._auditor()
            found = await beside(lambda: auditor.dead_letters(group, self._days))
            self._listed.clear()
            self._opened.clear()
            with self._listed, element("div", "card"):
                text("h2", f"{group.code} · {self._words('dead.newest')}").props('id="listed" tabindex="-1"')
                redriving = Redriving(self._words, self._operator)
                with element("ul", "letters"):
                    for letter in found:
                        self._letter(letter, redriving)
                redriving.draw()
        ui.run_javascript('document.getElementById("listed")?.focus()')

    async def _auditor(self) -> Auditor:
        return Auditor(self._visit.deployment, await self._visit.require(), self._reason.value or "")

    async def _operator(self) -> Operator:
        return Operator(self._visit.deployment, await self._visit.require(), self._reason.value or "")

    def _letter(self, letter: Letter, redriving: Redriving) -> None:
        with element("li"):
            redriving.box(letter)
            text("time", self._words.clock(letter.append_ms))
            with element("button", "open").props('type="button"') as opening:
                hostile("bdi", letter.id or letter.place)
            text("span", letter.place, "place")
        opening.on("click", lambda: self._open(letter))

    async def _open(self, letter: Letter) -> None:
        async with self._saying.at_work():
            auditor = await self._auditor()
            found = await beside(lambda: auditor.dead_letter(letter))
            self._opened.clear()
            with self._opened, element("div", "card"):
                text("h2", letter.place).props('id="opened" tabindex="-1"')
                if found is None:
                    text("p", self._words("dead.gone"), "notice")
                else:
                    self._show(found)
        ui.run_javascript('document.getElementById("opened")?.focus()')

    def _show(self, found: Opened) -> None:
        words = self._words
        if found.detail:
            with element("p"):
                text("span", words("dead.detail"))
                hostile("bdi", found.detail)
        with element("div", "columns"):
            with element("section"):
                text("h3", words("dead.decoded"))
                if found.decoded is None:
                    hostile("p", found.problem, "notice")
                else:
                    hostile("pre", found.decoded)
            with element("section"):
                text("h3", words("dead.raw", shown=len(found.raw), all=words.number(found.length)))
                text("pre", dumped(found.raw), "raw").props('tabindex="0"')


def dumped(data: bytes) -> str:
    """Bytes as a hex dump: offset, sixteen of them, and what of them is ASCII."""
    lines = []
    for start in range(0, len(data), _WIDTH):
        part = data[start : start + _WIDTH]
        ascii_ = "".join(chr(one) if 32 <= one < 127 else "·" for one in part)
        lines.append(f"{start:06x}  {part.hex(' '):<{3 * _WIDTH}} {ascii_}")
    return "\n".join(lines)
