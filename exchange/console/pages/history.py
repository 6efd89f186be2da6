"""*History*: what passed, month by month and year by year, beside what the national axis carries."""

from __future__ import annotations

from itertools import groupby

from nicegui import ui

from exchange.console.charts import bars
from exchange.console.deployment import Away
from exchange.console.elements import columns, element, text
from exchange.console.pages.acting import soon, tried_again
from exchange.console.reading.months import MONTHLY, TOTAL, Month, as_csv
from exchange.console.texts import Words
from exchange.console.visit import Visit

MONTHS_DRAWN = 24
_HEADS = ("history.month", "history.documents", "history.yardstick", "history.copies", "history.size")


async def build(visit: Visit) -> None:
    """Build the page."""
    place = element("div").props('aria-busy="true"')

    async def load() -> None:
        found = await visit.pulse.months.get()
        place.props('aria-busy="false"')
        with place:
            if isinstance(found, Away):
                tried_again(visit.words, found)
            else:
                _show(visit.words, found)

    soon(load)


def _show(words: Words, found: list[Month]) -> None:
    _figures(words, found)
    with element("section", "card"):
        text("h2", words("history.months"))
        drawn = found[-MONTHS_DRAWN:]
        label = words("history.chart", months=len(drawn), yardstick=words.number(MONTHLY))
        ui.html(bars([one.documents for one in drawn], label, marked=MONTHLY), sanitize=False).classes("tall")
        text("p", label, "hint")
    with element("section", "card scroll"):
        with element("div", "line"):
            save = ui.button(words("history.csv")).props("flat no-caps")
            save.on("click", lambda: ui.download.content(as_csv(found), "exchange-months.csv", "text/csv"))
        _table(words, found)
        text("p", words("history.days"), "hint")


def _figures(words: Words, found: list[Month]) -> None:
    total = sum(one.documents for one in found)
    last = found[-1] if found else Month("–", 0, 0, 0)
    with element("dl", "figures"):
        for key, value, small in (
            ("history.total", words.number(total), words("history.of_total", share=words.percent(total, TOTAL))),
            ("history.last", words.number(last.documents), last.name),
            ("history.yardstick", words.percent(last.documents, MONTHLY), words("history.of_month")),
            ("history.deliveries", words.number(sum(one.deliveries for one in found)), words("history.copies")),
        ):
            with element("div", "figure"):
                text("dt", words(key))
                text("dd", value)
                text("dd", small, "small")


def _table(words: Words, found: list[Month]) -> None:
    with element("table", "rows"):
        columns(*map(words, _HEADS), numbers=(1, 2, 3, 4))
        with element("tbody"):
            for year, rows in groupby(reversed(found), key=lambda one: one.name[:4]):
                listed = list(rows)
                _row(words, words("history.year", year=year), listed, MONTHLY * 12, "year")
                for one in listed:
                    _row(words, one.name, [one], MONTHLY)
            if not found:
                with element("tr"):
                    text("td", words("history.nothing"), "empty").props('colspan="5"')


def _row(words: Words, name: str, rows: list[Month], yardstick: int, classes: str = "") -> None:
    documents = sum(one.documents for one in rows)
    with element("tr", classes):
        text("th", name).props('scope="row"')
        text("td", words.number(documents), "number")
        text("td", words.percent(documents, yardstick), "number")
        text("td", words.number(sum(one.deliveries for one in rows)), "number")
        text("td", words.megabytes(sum(one.bytes for one in rows)), "number")
