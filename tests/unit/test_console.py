"""The console's parts without services or browser: words, what stands before pages, readings, drawings."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from exchange.accounts import rights_of
from exchange.agencies import Directory, DirectoryView, Erased, Erasure, Grant, RoleName
from exchange.console.catalogue import TEXTS
from exchange.console.charts import bars
from exchange.console.deployment import Away, Deployment
from exchange.console.elements import visible
from exchange.console.entrance import seen_as
from exchange.console.frame import PAGES
from exchange.console.guarding import Guard
from exchange.console.pages.dead_letters import dumped
from exchange.console.pulse import Shared
from exchange.console.reading.dead_letters import Letter, opened
from exchange.console.reading.months import as_csv, months
from exchange.console.session import OPENS
from exchange.console.texts import Words
from exchange.errors import Rejected, Unavailable

SOURCES = Path(__file__).parents[2] / "exchange" / "console"


def _blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_both_languages_have_the_text_with_the_same_blanks(key: str) -> None:
    vietnamese, english = TEXTS[key]
    assert vietnamese
    assert english
    assert _blanks(vietnamese) == _blanks(english)


def test_every_key_that_is_used_is_there_and_every_one_there_is_used() -> None:
    literal = {
        node.value
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "catalogue.py"
    }
    used = {one for one in literal if one in TEXTS}
    beginnings = {one for one in literal if re.fullmatch(r"[a-z]+\.([a-z]+_)?", one)}
    unknown = {
        one
        for one in literal - beginnings
        if re.fullmatch(r"(now|way|units|history|dead|documents|frame)\.[a-z_0-9]+", one)
    }
    assert unknown - set(TEXTS) == set()
    composed = ("level.", "status.", "refused.", "kind.", "outcome.", "look.", "state.", "foreseen.")
    unused = {key for key in TEXTS if key not in used and not key.startswith((*beginnings, *composed))}
    assert unused == set()


def test_numbers_are_written_as_each_language_writes_them() -> None:
    assert Words("vi").number(1234567.89, 1) == "1.234.567,9"
    assert Words("en").number(1234567.89, 1) == "1,234,567.9"
    assert Words("en").duration(7_300) == "2 h"
    assert Words("en").percent(0, 0) == "–"


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert visible("a\u202eb\u200bc\x00\nĐ") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+0000⟩\nĐ"


async def _answer(
    headers: list[tuple[bytes, bytes]], body: bytes, kind: str = "http", method: str = "GET"
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def page(_: Scope, __: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}
        await send(start)
        await send({"type": "http.response.body", "body": body[:9], "more_body": True})
        await send({"type": "http.response.body", "body": body[9:]})

    async def send(message: Message) -> None:
        sent.append(dict(message))

    await Guard(page, ["127.0.0.1", "localhost"])({"type": kind, "method": method, "headers": headers}, None, send)  # type: ignore[arg-type]
    return sent


OWN = (b"host", b"127.0.0.1:8490")


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ([OWN], True),
        ([OWN, (b"origin", b"http://127.0.0.1:8490")], True),
        ([(b"host", b"localhost:9000"), (b"origin", b"http://localhost:9000")], True),
        ([OWN, (b"origin", b"http://127.0.0.1:8491")], False),
        ([OWN, (b"origin", b"https://127.0.0.1:8490")], False),
        ([OWN, (b"origin", b"null")], False),
        ([(b"host", b"evil.example:8490")], False),
        ([(b"host", b"127.0.0.1.evil.example")], False),
        ([OWN, OWN], False),
        ([], False),
    ],
)
async def test_only_the_consoles_own_requests_pass(headers: list[tuple[bytes, bytes]], passes: bool) -> None:
    start = (await _answer(headers, b"<p>page</p>"))[0]
    assert start["status"] == (200 if passes else 403)
    closed = (await _answer(headers, b"", "websocket"))[0]
    assert (closed["type"] == "websocket.close") is not passes


@pytest.mark.parametrize(("headers", "passes"), [([OWN], False), ([OWN, (b"origin", b"http://127.0.0.1:8490")], True)])
async def test_what_changes_something_must_say_where_it_comes_from(
    headers: list[tuple[bytes, bytes]], passes: bool
) -> None:
    start = (await _answer(headers, b"", method="POST"))[0]
    assert start["status"] == (200 if passes else 403)


async def test_each_page_has_a_nonce_of_its_own_and_only_its_scripts_bear_it() -> None:
    page = b"<script>a</script><p>&lt;script>b</p><script type=module>c</script><scripty>"
    nonces = set()
    for _ in range(2):
        start, body = await _answer([OWN], page)
        headers = dict(start["headers"])
        found = re.search(rb"'nonce-([^']+)'", headers[b"content-security-policy"])
        assert found is not None
        nonces.add(found[1])
        assert body["body"].count(found[1]) == 2
        assert int(headers[b"content-length"]) == len(body["body"])
        assert b"unsafe-inline" not in headers[b"content-security-policy"].split(b"style-src")[0]
    assert len(nonces) == 2


async def test_however_many_look_it_is_read_once_and_again_when_it_is_old() -> None:
    clock, reads = [0.0], list[int]()

    def read() -> int:
        reads.append(1)
        if len(reads) == 2:
            raise Unavailable("postgres.unavailable", "away")
        return len(reads)

    shared = Shared(read, 2.0, lambda: clock[0])
    assert await asyncio.gather(*(shared.get() for _ in range(50))) == [1] * 50
    clock[0] = 2.0
    assert await shared.get() == Away("postgres.unavailable", "away")
    clock[0] = 4.0
    assert await shared.get() == 3


@pytest.mark.parametrize(
    ("roles", "pages"),
    [
        ([("viewer", "G00")], "now units history"),
        ([("auditor", "G00")], "now documents units history"),
        ([("operator", "G00")], "now units dead-letters history"),
        ([("administrator", "G00")], "now units history"),
        ([("administrator", "G00"), ("auditor", "G00")], "now units history"),
        ([("auditor", "H26")], "documents units"),
        ([("operator", "H26")], "units"),
        ([("auditor", "H26"), ("viewer", "G00")], "now documents units history"),
        ([], ""),
    ],
)
def test_roles_open_pages_for_the_country_or_within_their_scope(roles: list[tuple[RoleName, str]], pages: str) -> None:
    directory = Directory()
    directory.apply(0, [Grant("an", role, scope, 1, True, "test", "by") for role, scope in roles])
    session = seen_as(rights_of(directory.latest(), "an"), "")
    assert set(OPENS) == set(PAGES)
    assert " ".join(page for page in PAGES if session.may_open(page)) == pages


def test_days_add_up_to_months() -> None:
    day = 1_440
    start = 20_420 * day  # 2025-11-28
    found = months([(start + number * day, 10, 20, 1) for number in range(5)])
    assert [(one.name, one.documents, one.deliveries) for one in found] == [("2025-11", 30, 60), ("2025-12", 20, 40)]
    assert as_csv(found).decode().splitlines()[1] == "2025-11,30,60,3"


def test_a_bar_is_as_high_as_its_count_and_a_label_is_text() -> None:
    drawn = bars([0, 1, 2], '<b>"x"', marked=4)
    assert drawn.count("M") == 2 + 2
    assert "<b>" not in drawn
    assert "NaN" not in bars([0, 0], "none")


def test_an_erased_dead_letter_is_not_opened_though_the_topic_has_it() -> None:
    class Place:
        def ask(self, question: Callable[[DirectoryView], object]) -> object:
            directory = Directory()
            statement = Erased(bytes(32), "documents", 1, 7, 0, 0)
            directory.apply(0, [Erasure("H02/d", "H02", "d", 0, 1, (statement,), "x", "An", "Bình")])
            return question(directory.latest())

        def base(self) -> object:
            raise Unavailable("kafka.asked")

    place = cast("Deployment", Place())
    with pytest.raises(Rejected, match=r"dead_letter\.erased"):
        opened(place, Letter("documents", 1, 7, 0, "document", "d"))
    with pytest.raises(Unavailable, match=r"kafka\.asked"):
        opened(place, Letter("documents", 1, 8, 0, "document", "d"))


def test_bytes_are_dumped_sixteen_a_line() -> None:
    assert dumped(b"ab\x00" + b"x" * 14).splitlines()[0].endswith("ab·xxxxxxxxxxxxx")
    assert len(dumped(bytes(33)).splitlines()) == 3
