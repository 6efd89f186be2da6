"""Below a list of dead letters: pick some, see what would become of them now, send those again that would get in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from exchange.console.elements import columns, element, text
from exchange.console.pages.acting import Saying
from exchange.console.reading.dead_letters import Letter
from exchange.console.reading.redriving import Operator
from exchange.console.texts import Words
from exchange.console.visit import beside
from exchange.operating.foreseeing import Foreseen, sendable


class Redriving:
    """The boxes, the forecast, the button. `operator`: whoever acts, asked for anew with each act."""

    def __init__(self, words: Words, operator: Callable[[], Awaitable[Operator]]) -> None:
        self._words = words
        self._operator = operator
        self._boxes: list[tuple[ui.checkbox, Letter]] = []

    def box(self, letter: Letter) -> None:
        """A box to pick a letter by."""
        made = ui.checkbox().props(f'dense aria-label="{self._words("redrive.pick")} {letter.place}"')
        self._boxes.append((made, letter))

    def draw(self) -> None:
        """What is done with those that are picked."""
        with element("div", "line"):
            ui.button(self._words("redrive.all"), on_click=self._pick_all).props("flat no-caps")
            ui.button(self._words("redrive.foresee"), on_click=self._foresee).props("flat no-caps")
        self._saying = Saying(self._words)
        self._forecast = element("div", "forecast")

    def _pick_all(self) -> None:
        for box, _ in self._boxes:
            box.value = True

    async def _foresee(self) -> None:
        self._forecast.clear()
        async with self._saying.at_work():
            operator = await self._operator()
            letters = [letter for box, letter in self._boxes if box.value]
            foreseen = await beside(lambda: operator.foresee(letters))
            with self._forecast:
                self._tell(foreseen)

    def _tell(self, foreseen: Sequence[Foreseen]) -> None:
        words = self._words
        counted = Counter((one.outcome, one.code) for one in foreseen)
        with element("table", "rows"):
            columns(*map(words, ("redrive.now", "dead.code", "dead.count")), numbers=(2,))
            with element("tbody"):
                for (outcome, code), count in counted.most_common():
                    with element("tr"):
                        text("td", words.named("foreseen", outcome))
                        text("td", code)
                        text("td", words.number(count), "number")
        fit = len(sendable(foreseen))
        if fit:
            sending = ui.button(words("redrive.send", count=fit)).props("unelevated no-caps")
            sending.on("click", lambda: self._send(foreseen))
        else:
            text("p", words("redrive.nothing"), "hint")

    async def _send(self, foreseen: Sequence[Foreseen]) -> None:
        self._forecast.clear()
        sent = None
        async with self._saying.at_work():
            operator = await self._operator()
            sent = await beside(lambda: operator.send_again(foreseen))
        if sent is not None:
            self._saying.say("redrive.sent", count=sent)
