"""*Now*: what passes between the levels, what waits, what is refused, and who is at work; it moves by itself."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui
from nicegui.elements.html import Html
from nicegui.elements.mixins.text_element import TextElement

from exchange.agencies.levels import Level
from exchange.console.charts import bars
from exchange.console.deployment import Away, Health
from exchange.console.elements import columns, element, text
from exchange.console.reading.backlog import Backlog
from exchange.console.reading.hour import MINUTES, Hour
from exchange.console.texts import Words
from exchange.console.visit import Visit
from exchange.ledger.attesting import Ages

EVERY_S = 2.0
REJECTIONS_SHOWN = 8


async def build(visit: Visit) -> None:
    """Build the page and keep it moving."""
    words = visit.words
    notices = _Notices(words)
    figures = _Figures(words)
    with element("div", "columns"):
        with element("section", "card wide"):
            text("h2", words("now.matrix"))
            matrix = _Matrix(words)
        with element("section", "card wide"):
            text("h2", words("now.strips"))
            strips = _Strips(words)
        with element("section", "card"):
            text("h2", words("now.rejections"))
            rejections = _Rows(words, ("now.reason", "now.count"), "now.no_rejections", (1,))
        with element("section", "card"):
            text("h2", words("now.processes"))
            processes = _Rows(words, ("now.process", "now.state", "now.memory"), "now.no_processes", (2,))

    pulse = visit.pulse
    rate = 0.0

    async def show_hour() -> None:
        nonlocal rate
        found = await pulse.hour.get()
        notices.show("hour", found, found.gaps if isinstance(found, Hour) else 0)
        hour = None if isinstance(found, Away) else found
        rate = 0.0 if hour is None else hour.rate
        figures.show_hour(hour)
        matrix.show(hour)
        strips.show(hour)
        counted = {} if hour is None else hour.rejections
        rows = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:REJECTIONS_SHOWN]
        rejections.show([(code, words.number(count)) for code, count in rows])

    async def show_backlog() -> None:
        found = await pulse.backlog.get()
        notices.show("backlog", found)
        figures.show_backlog(None if isinstance(found, Away) else found, rate)

    async def show_processes() -> None:
        found = await pulse.processes.get()
        notices.show("processes", found)
        crew = [] if isinstance(found, Away) else found
        processes.show([_process(words, one) for one in crew], [one.state for one in crew])

    async def show_ages() -> None:
        found = await pulse.ages.get()
        notices.show("ages", found)
        figures.show_ages(None if isinstance(found, Away) else found[0])

    for show in (show_hour, show_backlog, show_processes, show_ages):  # each in its own time: one may be away
        ui.timer(EVERY_S, show)


class _Notices:
    """What is away, or wrong, above everything else; told to those who listen as soon as it is."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._said: dict[str, list[str]] = {}
        self._shown: list[str] = []
        self._place = element("div", "notices").props('role="status"')

    def show(self, name: str, found: object, gaps: int = 0) -> None:
        """Say it of one reading; nothing of one that is there, without gaps."""
        self._said[name] = [self._words.away(found.code)] if isinstance(found, Away) else []
        if gaps:
            self._said[name].append(self._words("now.gaps", count=gaps))
        said = list(dict.fromkeys(one for each in self._said.values() for one in each))
        if said != self._shown:
            self._shown = said
            self._place.clear()
            with self._place:
                for one in said:
                    text("p", one, "notice")


class _Figures:
    """The few numbers that an operator looks for first; a dash for what isn't known."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._values: dict[str, tuple[TextElement, TextElement]] = {}
        with element("dl", "figures"):
            for name in ("rate", "accepted", "backlog", "unwitnessed"):
                with element("div", "figure"):
                    text("dt", words(f"now.{name}"))
                    self._values[name] = (text("dd", "–"), text("dd", "", "small"))

    def show_hour(self, hour: Hour | None) -> None:
        """What passed."""
        words = self._words
        if hour is None:
            self._set("rate")
            self._set("accepted")
        else:
            self._set("rate", words.number(hour.rate, 1), words("now.a_minute"))
            self._set("accepted", words.number(hour.accepted), words("now.in_hour"))

    def show_backlog(self, backlog: Backlog | None, rate: float) -> None:
        """What waits, and how long still at that rate."""
        if backlog is None:
            self._set("backlog")
            return
        words, said = self._words, []
        if backlog.trace_store:
            said.append(words("now.trace_store", count=words.number(backlog.trace_store)))
        drain_s = backlog.drain_s(rate)
        if backlog.hop and drain_s is not None:
            said.append(words("now.drains", time=words.duration(drain_s)))
        self._set("backlog", words.number(backlog.hop), " · ".join(said) or words("now.records"))

    def show_ages(self, ages: Ages | None) -> None:
        """How long the ledger has gone unseen."""
        words = self._words
        if ages is None:
            self._set("unwitnessed")
        elif ages.unwitnessed_s is None:
            self._set("unwitnessed", small=words("now.never_witnessed"))
        else:
            self._set("unwitnessed", words.duration(ages.unwitnessed_s), words("now.of_ledger"))

    def _set(self, name: str, value: str = "–", small: str = "") -> None:
        for place, said in zip(self._values[name], (value, small), strict=True):
            place.text = said


class _Matrix:
    """Sender's level by recipient's level, the busiest cell the warmest."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._cells: dict[tuple[int, int], tuple[ui.element, TextElement, TextElement]] = {}
        with element("table", "heat"):
            text("caption", words("now.matrix_caption"))
            with element("thead"), element("tr"):
                text("th", words("now.from_to")).props('scope="col"')
                for level in Level:
                    text("th", words.level(level)).props('scope="col"')
            with element("tbody"):
                for sender in Level:
                    with element("tr"):
                        text("th", words.level(sender)).props('scope="row"')
                        for recipient in Level:
                            with element("td") as cell:
                                self._cells[sender, recipient] = (cell, text("b", "–"), text("span", ""))

    def show(self, hour: Hour | None) -> None:
        """Show it; dashes if it isn't known."""
        words, cells = self._words, {} if hour is None else hour.cells
        most = max(cells.values(), default=0) or 1
        for place, (cell, count, rate) in self._cells.items():
            number = cells.get(place, 0)
            count.text = "–" if hour is None else words.number(number)
            a_minute = 0.0 if hour is None else hour.rates.get(place, 0.0)
            rate.text = "" if hour is None else words("now.cell_rate", rate=words.number(a_minute, 1))
            cell.style(f"--heat: {round((number / most) ** 0.5 * 100)}%")


class _Strips:
    """A strip a level: the last hour, a bar a minute."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._strips: dict[int, tuple[Html, TextElement]] = {}
        for level in Level:
            with element("figure", "strip"):
                with element("figcaption"):
                    text("b", words.level(level))
                    said = text("span", "")
                self._strips[level] = (ui.html("", sanitize=False), said)

    def show(self, hour: Hour | None) -> None:
        """Show it; nothing if it isn't known."""
        words = self._words
        for level, (drawing, said) in self._strips.items():
            counts = [0] * MINUTES if hour is None else hour.strips.get(level, [0] * MINUTES)
            sums = words("now.strip", total=words.number(sum(counts)), peak=words.number(max(counts)))
            if hour is None:
                sums = "–"
            said.text = sums
            drawing.set_content(bars(counts, f"{words.level(level)}: {sums}"))


class _Rows:
    """A small table that is drawn again when what it shows changes."""

    def __init__(self, words: Words, heads: Sequence[str], empty: str, numbers: Sequence[int]) -> None:
        self._words = words
        self._empty = empty
        self._numbers = numbers
        self._shown: object = None
        with element("table", "rows"):
            columns(*map(words, heads), numbers=numbers)
            self._body = element("tbody")
        self._heads = len(heads)

    def show(self, rows: list[tuple[str, ...]], states: Sequence[str] = ()) -> None:
        """Show them; `states`: what each row is, for its colour."""
        if (rows, states) == self._shown:
            return
        self._shown = (rows, states)
        self._body.clear()
        with self._body:
            for number, row in enumerate(rows):
                with element("tr", states[number] if states else ""):
                    for place, cell in enumerate(row):
                        text("td", cell, "number" if place in self._numbers else "")
            if not rows:
                with element("tr"):
                    text("td", self._words(self._empty), "empty").props(f'colspan="{self._heads}"')


def _process(words: Words, one: Health) -> tuple[str, ...]:
    state = words("state.disk_full") if one.is_disk_full else words.named("state", one.state)
    return one.name, state, words.megabytes(one.resident_bytes)
