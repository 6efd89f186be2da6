"""The console in the system's Chromium, out of the running exchange: what an operator and an auditor see and do."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from psycopg.conninfo import conninfo_to_dict

from exchange.agencies.levels import Level
from exchange.console.texts import LANGUAGES
from exchange.local.waiting import wait_until
from exchange.operating.suspending import resume, suspend
from exchange.statements.status import ARRIVED
from exchange.views.accesses import AccessStore
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support.consoles import (
    ABSENT,
    CHROMIUM,
    NARROW,
    SCREENSHOTS,
    WIDE,
    Console,
    chromium,
    free_port,
    running,
    serving,
    visiting,
)
from tests.support.proxy import Proxy
from tests.support.running import Exchange, Place

pytestmark = [pytest.mark.integration, pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)]

BY = "người-kiểm-tra"
PAGES = ("now", "documents", "units", "dead-letters", "history")
LOOKS = [(WIDE, "light"), (NARROW, "dark"), *([(WIDE, "dark"), (NARROW, "light")] if SCREENSHOTS else [])]
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}} ${7*7} `'


@pytest.fixture(scope="module")
def console(exchange: Exchange) -> Iterator[Console]:
    with serving(exchange.world, BY) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def stored(exchange: Exchange, fields: dict[str, Any]) -> None:
    """Wait until the trace store knows of the document."""
    store = TraceStore(exchange.world.database_url)
    assert wait_until(lambda: trace(store, fields["id"]) is not None, 60)


def sent(exchange: Exchange, subject: str) -> tuple[dict[str, Any], Place]:
    """A document from a province to a commune that has signed a receipt, in the trace store."""
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.COMMUNE)
    fields = exchange.document(sender, [recipient.agency.code], subject=subject)
    place = exchange.submit("document", fields, sender)
    exchange.fates([place])
    exchange.fates([exchange.submit("status", exchange.status(recipient, fields, ARRIVED), recipient)])
    stored(exchange, fields)
    return fields, place


def looked_for(page: Page, console: Console, id_: str, reason: str) -> None:
    """Search by an id, for a reason."""
    page.goto(f"{console.url}/en/documents")
    page.get_by_label("Why you look").fill(reason)
    page.get_by_label("Id", exact=True).fill(id_)
    page.keyboard.press("Enter")


def test_every_page_loads_from_the_console_alone_in_both_languages_and_themes(
    console: Console, browser: Browser
) -> None:
    for size, scheme in LOOKS:
        with visiting(browser, size, scheme) as visitor:
            for language in LANGUAGES:
                for name in PAGES:
                    visitor.page.goto(f"{console.url}/{language}/{name}")
                    expect(visitor.page.locator("main h1")).to_be_visible()
                    expect(visitor.page.locator('[aria-busy="true"]')).to_have_count(0)
                    assert visitor.page.locator("html").get_attribute("lang", timeout=1_000) in {"vi", "en-US"}
                    dark = "body--dark" in (visitor.page.locator("body").get_attribute("class") or "")
                    assert dark == (scheme == "dark")
                    width = visitor.page.evaluate("document.documentElement.scrollWidth")
                    assert width <= size[0], (name, size)
                    if name == "now":
                        expect(visitor.page.locator("figure svg")).to_have_count(4)
                    visitor.shoot(f"{name}-{language}-{scheme}-{size[0]}")
            own = (console.url, console.url.replace("http", "ws"), "data:")
            assert [url for url in visitor.requested if not url.startswith(own)] == []
            assert len(visitor.requested) > 20
            assert visitor.complaints == []


def test_a_foreign_host_or_origin_is_refused(console: Console) -> None:
    assert httpx.get(f"{console.url}/en/now").status_code == 200
    assert httpx.get(f"{console.url}/en/now", headers={"host": "evil.example"}).status_code == 403
    asked = {"EIO": "4", "transport": "polling"}
    for origin, code in ((console.url, 200), ("http://evil.example", 403), ("http://127.0.0.1:1", 403)):
        answer = httpx.get(f"{console.url}/_nicegui_ws/socket.io/", params=asked, headers={"origin": origin})
        assert answer.status_code == code, origin


def test_text_in_an_address_gets_no_nonce(console: Console, browser: Browser) -> None:
    plain = httpx.get(f"{console.url}/en/documents").text
    page = httpx.get(f"{console.url}/en/documents", params={"id": HOSTILE}).text
    assert "&lt;script&gt;window.hacked=1" in page
    assert page.count("<script nonce=") == page.count("<script") == plain.count("<script")
    with visiting(browser) as visitor:
        visitor.page.goto(f"{console.url}/en/documents?id={quote(HOSTILE)}")
        expect(visitor.page.get_by_label("Id", exact=True)).to_have_value(HOSTILE)
        assert visitor.page.evaluate("window.hacked") is None
        # The policy itself: what is not sealed doesn't run.
        unsealed = "Object.assign(document.createElement('script'), {text: 'window.hacked = 1'})"
        visitor.page.evaluate(f"document.body.append({unsealed})")
        assert visitor.page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in said for said in visitor.complaints)


def test_now_counts_what_was_just_sent(exchange: Exchange, console: Console, browser: Browser) -> None:
    with visiting(browser) as visitor:
        visitor.page.goto(f"{console.url}/en/now")
        cell = visitor.page.locator(".heat tbody tr").nth(1).locator("td b").nth(3)
        expect(cell).to_have_text(re.compile(r"\d"))
        before = int(cell.inner_text().replace(",", ""))
        sent(exchange, "Đếm ngay")

        def counted() -> bool:
            visitor.page.wait_for_timeout(100)
            return int(cell.inner_text().replace(",", "")) > before

        assert wait_until(counted, 30)
        expect(visitor.page.locator("tr.running", has_text="hop-1")).to_be_visible()
        expect(visitor.page.locator("figure svg")).to_have_count(4)


def test_a_hostile_subject_shows_as_text_and_its_way_and_evidence_are_recorded_looks(
    exchange: Exchange, console: Console, browser: Browser
) -> None:
    subject = f"{HOSTILE} {uuid.uuid4()}"
    fields, place = sent(exchange, subject)
    reason = f"Khiếu nại {uuid.uuid4()}"
    with visiting(browser) as visitor:
        page = visitor.page
        looked_for(page, console, fields["id"], reason)
        with page.expect_download() as found:
            page.get_by_role("button", name="Download all").click()
        assert fields["id"] in found.value.path().read_text("utf-8-sig")
        opening = page.get_by_role("button", name=subject)
        expect(opening).to_be_visible()
        opening.click()
        expect(page.get_by_role("heading", name=subject)).to_be_visible()
        for shown in (fields["id"], exchange.member(Level.COMMUNE).agency.code, "01 arrived", reason):
            expect(page.locator(".way")).to_contain_text(shown)
        visitor.shoot("documents-way")
        with page.expect_download(timeout=60_000) as download:
            page.get_by_role("button", name="Download the evidence").click()
        assert download.value.path().read_bytes()[:4] == b"PK\x03\x04"
        assert page.evaluate("window.hacked") is None
        assert visitor.complaints == []
    looks = AccessStore(exchange.world.base, exchange.world.database_url).looks_at([place])
    assert [(look.action, look.by) for look in looks if look.reason == reason] == [
        ("export", BY),
        ("trace", BY),
        ("export", BY),
        ("search", BY),
    ]


def test_nothing_is_shown_without_a_reason(exchange: Exchange, console: Console, browser: Browser) -> None:
    fields, place = sent(exchange, f"Không lý do {uuid.uuid4()}")
    with visiting(browser) as visitor:
        looked_for(visitor.page, console, fields["id"], "  ")
        expect(visitor.page.locator(".notice")).to_contain_text("Say why you look.")
        expect(visitor.page.locator(".result")).to_have_count(0)
    assert AccessStore(exchange.world.base, exchange.world.database_url).looks_at([place]) == []


def test_a_dead_letter_is_decoded_beside_its_raw_bytes(exchange: Exchange, console: Console, browser: Browser) -> None:
    sender = exchange.member(Level.DISTRICT)
    bidi = "Ký \u202egnort\u202c " + "ă" * 10_000
    fields = exchange.document(sender, [exchange.member(Level.COMMUNE).agency.code], subject=bidi)
    fate = exchange.fates([exchange.submit("document", fields, sender)])[0]
    code = fate.event["code"]
    stored(exchange, fields)
    with visiting(browser) as visitor:
        page = visitor.page
        page.goto(f"{console.url}/en/dead-letters?days=1")
        page.get_by_label("Why you look").fill("Kiểm tra từ chối")
        row = page.locator("tr", has_text=code).filter(has_text=sender.agency.code)
        row.get_by_role("button", name="List").click()
        page.get_by_role("button", name=fields["id"]).click()
        expect(page.locator("pre").first).to_contain_text("⟨U+202E⟩gnort")
        expect(page.locator("pre.raw")).to_contain_text("000000")
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDE[0]
        visitor.shoot("dead-letters-opened")
        assert visitor.complaints == []


def test_a_dead_letter_is_sent_again_after_a_forecast(exchange: Exchange, console: Console, browser: Browser) -> None:
    member, registrar = exchange.newcomer(), exchange.world.registrar
    fields = exchange.document(member, [exchange.member(Level.COMMUNE).agency.code])
    suspend(registrar, member.agency.code, "test", "An", "Bình")
    fate = None
    while fate is None or fate.event["outcome"] == "accepted":  # until the hop has heard of it
        fields = exchange.document(member, [exchange.member(Level.COMMUNE).agency.code])
        [fate] = exchange.fates([exchange.submit("document", fields, member)])
    resume(registrar, member.agency.code, "test", "An", "Bình")
    stored(exchange, fields)
    with visiting(browser) as visitor:
        page = visitor.page
        page.goto(f"{console.url}/en/dead-letters?days=1")
        page.get_by_label("Why you look").fill("Khóa mới")
        row = page.locator("tr", has_text="sender.suspended").filter(has_text=member.agency.code)
        row.get_by_role("button", name="List").click()
        page.get_by_role("button", name="What would become").click()
        expect(page.locator(".notice")).to_contain_text("Pick at least one")
        page.get_by_role("button", name="Pick all").click()
        page.get_by_role("button", name="What would become").click()
        expect(page.locator(".forecast")).to_contain_text("accepted")
        visitor.shoot("dead-letters-redrive")
        page.get_by_role("button", name="Send 1 again").click()
        expect(page.locator(".hint", has_text="1 sent again")).to_be_visible()
        assert visitor.complaints == []
    exchange.settle()
    delivered = [one.fields["id"] for fate in exchange.all_fates() for one in fate.deliveries if one.kind == "document"]
    assert delivered.count(fields["id"]) == 1


def test_units_are_walked_and_ranked_a_hundred_rows_at_a_time(
    exchange: Exchange, console: Console, browser: Browser
) -> None:
    unit = exchange.member(Level.COMMUNE).agency
    with visiting(browser) as visitor:
        page = visitor.page
        page.goto(f"{console.url}/en/units?by=busy")
        expect(page.locator(".units tbody tr")).to_have_count(100)
        page.get_by_role("button", name="More").click()
        expect(page.locator(".units tbody tr")).to_have_count(200)
        page.goto(f"{console.url}/en/units?unit={unit.parent}")
        expect(page.locator(".units")).to_contain_text(unit.code)
        page.goto(f"{console.url}/en/units?unit=nobody")
        expect(page.locator(".notice")).to_contain_text("No open unit has this code")


def test_keyboard_first_stop_leads_past_the_navigation(console: Console, browser: Browser) -> None:
    with visiting(browser) as visitor:
        page = visitor.page
        page.goto(f"{console.url}/en/now")
        expect(page.locator("figure svg")).to_have_count(4)
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_language_and_theme_are_remembered(console: Console, browser: Browser) -> None:
    with visiting(browser) as visitor:
        page = visitor.page
        page.goto(console.url)
        expect(page).to_have_url(re.compile("/vi/now$"))
        page.get_by_role("link", name="English").click()
        page.get_by_role("link", name="Dark").click()
        expect(page.locator("body.body--dark")).to_be_visible()
        page.goto(console.url)
        expect(page).to_have_url(re.compile("/en/now$"))
        expect(page.locator("body.body--dark")).to_be_visible()


def test_a_dropped_connection_comes_back_with_what_the_page_held(console: Console, browser: Browser) -> None:
    port = free_port()
    with visiting(browser) as visitor:
        page = visitor.page
        with Proxy(port, console.port):
            page.goto(f"http://127.0.0.1:{port}/en/documents")
            page.get_by_label("Why you look").fill("Giữ nguyên")
            page.get_by_role("button", name="Search").click()
            expect(page.locator("#found")).to_be_visible()
        expect(page.locator("#popup")).to_be_visible()
        with Proxy(port, console.port):
            expect(page.locator("#popup")).not_to_be_visible(timeout=30_000)
            expect(page.get_by_label("Why you look")).to_have_value("Giữ nguyên")
            page.get_by_label("Id", exact=True).fill(str(uuid.uuid4()))
            page.get_by_role("button", name="Search").click()
            expect(page.locator(".found")).to_contain_text("Nothing found")


def test_without_its_services_it_says_so_and_goes_on_when_they_are_back(exchange: Exchange, browser: Browser) -> None:
    world = exchange.world
    kafka = int(str(world.base["bootstrap.servers"]).rpartition(":")[2])
    postgres = int(conninfo_to_dict(world.database_url)["port"] or 0)
    port, kafka_port, postgres_port = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "tests.support.console_away", str(world.home.folder)]
    with running([*command, str(port), str(kafka_port), str(postgres_port)], port) as one, visiting(browser) as visitor:
        page = visitor.page
        page.goto(f"{one.url}/en/now")
        expect(page.locator(".notices")).to_contain_text("PostgreSQL doesn't answer")
        expect(page.locator(".notices")).to_contain_text("Kafka doesn't answer", timeout=60_000)
        expect(page.locator(".heat td b").first).to_have_text("–")
        visitor.shoot("now-away")
        with Proxy(postgres_port, postgres):
            expect(page.locator(".heat td b").first).to_have_text(re.compile(r"\d"), timeout=60_000)
            expect(page.locator(".notices")).not_to_contain_text("PostgreSQL doesn't answer")
            with Proxy(kafka_port, kafka):
                expect(page.locator(".notices .notice")).to_have_count(0, timeout=60_000)
