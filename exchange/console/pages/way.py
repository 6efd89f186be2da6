"""One document's way, hop by hop: what it is, what became of it, each copy, who looked; and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from nicegui import ui

from exchange.console.elements import columns, element, hostile, text
from exchange.console.pages.acting import Saying
from exchange.console.reading.looking import Auditor
from exchange.console.visit import Visit, beside
from exchange.statements.chain import CHANGE_OPEN, MAIN, TAKE_BACK_OPEN
from exchange.views.search import STATUSES
from exchange.views.trace_path import Delivery, Document, Entry, Path

STEPS_SHOWN = 200
COPIES_SHOWN = 500
LOOKS_SHOWN = 50
_STATES = {main: name for name, main in STATUSES.items()}
_EPOCH = date(1970, 1, 1)


class _Moment(NamedTuple):
    """One thing that happened. `said`: ours; `quoted`: somebody's own text."""

    ms: int
    said: str
    quoted: str
    place: str
    is_bad: bool = False


class Way:
    """Draws a way into the element that is open. `back`: what the first button does."""

    def __init__(self, visit: Visit, auditor: Auditor, path: Path | None, id_: str, back: Callable[[], None]) -> None:
        self._visit = visit
        self._words = visit.words
        with element("div", "line"):
            ui.button(self._words("way.back"), on_click=back).props("flat no-caps")
        with element("h2").props('id="way" tabindex="-1"'):
            subject = None if path is None or path.document is None else path.document.summary
            hostile("bdi", (subject and subject.subject) or id_)
        if path is None:
            text("p", self._words("way.unknown"), "notice")
            return
        self._warn(path)
        if path.document is not None:
            self._offer(auditor, path)
            self._summary(path, path.document)
        else:
            text("p", self._words("way.never"), "notice")
        self._moments(path)
        if path.document is not None and path.document.deliveries:
            self._copies(path.document.deliveries)
        self._looks(path)

    def _warn(self, path: Path) -> None:
        words = self._words
        if any(path.is_suspect(entry) for entry in path.entries()):
            text("p", words("way.suspect"), "notice")
        for one in path.erasings:
            with element("p", "notice"):
                text("span", words("way.erased", at=words.clock(one.decided_ms), by=one.by, second=one.seconded_by))
                hostile("bdi", one.reason)
        if not path.is_complete:
            text("p", words("way.incomplete"), "notice")

    def _offer(self, auditor: Auditor, path: Path) -> None:
        with element("div", "line"):
            button = ui.button(self._words("way.evidence")).props("unelevated no-caps")
        saying = Saying(self._words)

        async def hand_out() -> None:
            button.disable()
            try:
                async with saying.at_work():
                    await self._visit.require()
                    data = await beside(lambda: auditor.evidence(path))
                    ui.download.content(data, "evidence.zip", "application/zip")
            finally:
                button.enable()

        button.on("click", hand_out)

    def _summary(self, path: Path, document: Document) -> None:
        words, entry, summary = self._words, document.entry, document.summary
        with element("dl", "facts card"):
            self._fact("way.sender", entry.sender)
            if summary is not None:
                self._fact("way.code", f"{summary.type} {summary.code}".strip())
                self._fact("way.issued", _day(summary.issued))
                self._fact("way.urgency", words(f"urgency.{summary.urgency if 0 <= summary.urgency <= 4 else 0}"))
                if summary.due is not None:
                    self._fact("way.due", _day(summary.due))
                files = words("way.files", count=summary.attachments, size=words.megabytes(summary.bytes) or "0 MB")
                self._fact("way.attachments", files)
            self._fact("way.signed", ", ".join([self._sealed(path, entry.certificate or ""), *path.leaders]))
            self._fact("way.id", path.id)
            self._fact("way.sha256", entry.sha256 or "–")

    def _sealed(self, path: Path, certificate: str) -> str:
        """By whom: the agency itself, its connector, or another agency for it."""
        role = path.roles.get(certificate, "seal")
        if role == "delegate":
            return self._words("way.by_delegate", holder=path.delegates.get(certificate, "?"))
        return self._words("way.by_connector" if role == "connector" else "way.by_seal")

    def _fact(self, key: str, value: str) -> None:
        with element("div"):
            text("dt", self._words(key))
            with element("dd"):
                hostile("bdi", value)

    def _moments(self, path: Path) -> None:
        words = self._words
        moments = sorted(self._happened(path), key=lambda one: one.ms)
        text("h3", words("way.what"))
        with element("ol", "timeline card"):
            for one in moments[:STEPS_SHOWN]:
                with element("li", "bad" if one.is_bad else ""):
                    text("time", words.clock(one.ms))
                    text("span", one.said)
                    if one.quoted:
                        hostile("bdi", one.quoted)
                    text("span", one.place, "place")
        if len(moments) > STEPS_SHOWN:
            text("p", words("way.more_steps", count=words.number(len(moments) - STEPS_SHOWN)), "hint")

    def _happened(self, path: Path) -> Iterator[_Moment]:
        words = self._words
        if path.document is not None:
            yield self._moment(path.document.entry, "way.submitted", path.document.entry.sender)
            entry = path.document.entry
            place = words(
                "way.at_offset", directory=entry.directory_offset, trace=f"{entry.partition}/{entry.trace_offset}"
            )
            yield _Moment(entry.hop_ms, words("way.accepted", worker=entry.worker), "", place)
        for entry in path.duplicates:
            yield self._moment(entry, "way.again", "")
        for entry in path.rejections:
            claimed = "" if entry.verified else f" ({words('documents.claimed')})"
            yield self._moment(entry, "way.rejected", f"{entry.code}{claimed}", is_bad=True)
        for step in path.steps:
            said = words("way.step", code=f"{step.status_code:02d}", what=words.status(step.status_code))
            quoted = f"{step.recipient} {step.reason}".strip()
            yield _Moment(step.entry.append_ms, said, quoted, _place(step.entry))
        for related in path.related:
            named = related.summary.subject if related.summary is not None else related.entry.id
            yield self._moment(related.entry, "way.related", named)
        for entry in path.others:
            said = f"{entry.kind} {words.named('outcome', entry.outcome)} {entry.code}".strip()
            yield _Moment(
                entry.append_ms, said, entry.sender, _place(entry), entry.outcome in {"rejected", "set_aside"}
            )

    def _moment(self, entry: Entry, key: str, quoted: str, *, is_bad: bool = False) -> _Moment:
        return _Moment(entry.append_ms, self._words(key), quoted, _place(entry), is_bad)

    def _copies(self, deliveries: tuple[Delivery, ...]) -> None:
        words = self._words
        done = sum(1 for one in deliveries if one.is_acknowledged)
        text("h3", words("way.copies", count=words.number(len(deliveries)), done=words.number(done)))
        waiting_first = sorted(deliveries, key=lambda one: (one.is_acknowledged, one.recipient))
        with element("div", "card scroll"), element("table", "rows"):
            columns(*map(words, ("way.recipient", "way.level", "way.state", "way.receipt")))
            with element("tbody"):
                for one in waiting_first[:COPIES_SHOWN]:
                    with element("tr"):
                        with element("td"):
                            hostile("bdi", one.recipient)
                            if one.redirected_from:
                                hostile("bdi", words("way.redirected", code=one.redirected_from))
                        text("td", words.level(one.level))
                        text("td", self._state(one.state))
                        text("td", "" if one.first_receipt_ms is None else words.clock(one.first_receipt_ms))
        if len(deliveries) > COPIES_SHOWN:
            text("p", words("way.more_copies", count=words.number(len(deliveries) - COPIES_SHOWN)), "hint")

    def _state(self, state: int) -> str:
        said = self._words(f"copy.{_STATES[state & MAIN]}") if state & MAIN in _STATES else str(state)
        if state & TAKE_BACK_OPEN:
            said += f", {self._words('copy.take_back_open')}"
        if state & CHANGE_OPEN:
            said += f", {self._words('copy.change_open')}"
        return said

    def _looks(self, path: Path) -> None:
        words = self._words
        text("h3", words("way.looks"))
        with element("ul", "looks card"):
            for look in path.looks[:LOOKS_SHOWN]:
                with element("li"):
                    text("time", words.clock(look.append_ms))
                    text("span", words.named("look", look.action))
                    hostile("bdi", look.by)
                    hostile("bdi", look.reason or words("look.no_reason"))


def _place(entry: Entry) -> str:
    return f"{entry.source_topic}/{entry.partition}/{entry.source_offset}"


def _day(number: int) -> str:
    """Days since 1970; a sender may write any."""
    try:
        return (_EPOCH + timedelta(number)).isoformat()
    except OverflowError:
        return str(number)
