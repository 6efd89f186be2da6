"""Logging in to the console with a real account, by its grants; what a role doesn't open stays shut."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from exchange.agencies.levels import Level
from exchange.cli.running import options_of
from exchange.console.entrance import COOKIE
from exchange.local.waiting import wait_until
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support.consoles import ABSENT, CHROMIUM, Console, chromium, serving, visiting
from tests.support.running import Exchange

pytestmark = [pytest.mark.integration, pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)]

PASSWORD = "cửa sổ nhìn ra sông Hồng"


@pytest.fixture(scope="module")
def console(exchange: Exchange) -> Iterator[Console]:
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def run(exchange: Exchange, *arguments: str, given: str = "") -> None:
    """A command in this world."""
    command = [sys.executable, "-m", "exchange", *options_of(exchange.world), *arguments]
    subprocess.run(command, input=given.encode(), check=True, timeout=60)


def made(exchange: Exchange, role: str, scope: str = "G00") -> str:
    """An account with that role, by default for the whole country."""
    name = f"an.{uuid.uuid4().hex[:8]}"
    run(exchange, "user", "add", name, "--name", "Nông Thị An", given=f"{PASSWORD}\n")
    run(exchange, "user", "grant", name, role, "--for", scope, "--reason", "test")
    return name


def log_in(page: Page, console: Console, name: str, password: str) -> None:
    """From any page, by keyboard."""
    page.goto(f"{console.url}/en/now")
    expect(page).to_have_url(re.compile("/login"))
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_nothing_is_served_to_whoever_has_not_logged_in(console: Console) -> None:
    for token in ("", "guessed"):
        answer = httpx.get(f"{console.url}/en/documents", cookies={COOKIE: token} if token else {})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?page=en/documents")
    form = {"name": "nobody", "password": PASSWORD}
    assert httpx.post(f"{console.url}/login", data=form).status_code == 403
    assert httpx.post(f"{console.url}/login", data=form, headers={"origin": "http://evil.example"}).status_code == 403
    refused = httpx.post(f"{console.url}/login", data=form, headers={"origin": console.url})
    assert refused.status_code == 403
    assert "login.refused" in refused.text
    assert COOKIE not in refused.cookies
    large = httpx.post(f"{console.url}/login", content=b"name=" + b"x" * 100_000, headers={"origin": console.url})
    assert "login.form" in large.text


def test_a_viewer_sees_numbers_and_no_documents_until_logged_out(
    exchange: Exchange, console: Console, browser: Browser
) -> None:
    name = made(exchange, "viewer")
    with visiting(browser) as visitor:
        page = visitor.page
        log_in(page, console, name, "wrong " + PASSWORD)
        expect(page.get_by_role("alert")).to_contain_text("login.refused")
        visitor.shoot("login")
        visitor.complaints.clear()  # the browser's own word on a 403
        log_in(page, console, name, PASSWORD)
        expect(page.get_by_role("heading", name="Now")).to_be_visible()
        expect(page.locator("footer")).to_contain_text(name)
        expect(page.get_by_role("link", name="Units")).to_be_visible()
        expect(page.get_by_role("link", name="Documents")).to_have_count(0)
        page.goto(f"{console.url}/en/documents")
        expect(page.locator(".notice")).to_contain_text("Your role doesn't open this page")
        expect(page.locator("form.asking")).to_have_count(0)
        cookie = next(one for one in visitor.context.cookies() if one["name"] == COOKIE)
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        page.get_by_role("button", name="Log out").click()
        expect(page).to_have_url(re.compile("/login"))
        page.goto(f"{console.url}/en/now")
        expect(page).to_have_url(re.compile("/login"))
        assert httpx.get(f"{console.url}/en/now", cookies={COOKIE: cookie["value"]}).status_code == 303
        assert visitor.complaints == []


def test_an_auditor_whose_grant_is_revoked_looks_no_more(
    exchange: Exchange, console: Console, browser: Browser
) -> None:
    name = made(exchange, "auditor")
    with visiting(browser) as visitor:
        page = visitor.page
        log_in(page, console, name, PASSWORD)
        page.get_by_role("link", name="Documents").click()
        page.get_by_label("Why you look").fill("Kiểm tra")
        page.get_by_label("Id", exact=True).fill(str(uuid.uuid4()))
        page.keyboard.press("Enter")
        expect(page.locator(".found")).to_contain_text("Nothing found")
        run(exchange, "user", "revoke", name, "auditor", "--reason", "left")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".notice")).to_contain_text(re.compile("permission.missing|doesn't open this page"))


def test_an_auditor_of_one_province_sees_that_province(exchange: Exchange, console: Console, browser: Browser) -> None:
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.CENTRAL)
    mine, other = sender.agency.code, exchange.member(Level.DISTRICT).agency.code
    assert mine not in {above.code for above in exchange.view.ancestors(other)}
    fields = exchange.document(sender, [recipient.agency.code], subject="Của tỉnh")
    exchange.fates([exchange.submit("document", fields, sender)])
    assert wait_until(lambda: trace(TraceStore(exchange.world.database_url), fields["id"]) is not None, 60)
    name = made(exchange, "auditor", mine)
    with visiting(browser) as visitor:
        page = visitor.page
        log_in(page, console, name, PASSWORD)
        expect(page.locator(".notice")).to_contain_text("Your role doesn't open this page")
        for sought, found in (("", "Name a sender"), (other, "Name a sender"), (mine, "Của tỉnh")):
            page.goto(f"{console.url}/en/documents")
            page.get_by_label("Why you look").fill("Kiểm tra tỉnh")
            page.get_by_label("Id", exact=True).fill(fields["id"])
            page.get_by_label("Sender's code").fill(sought)
            page.keyboard.press("Enter")
            expect(page.locator(".found" if sought == mine else ".notice")).to_contain_text(found)
        page.get_by_role("button", name="Của tỉnh").click()
        expect(page.locator(".way")).to_contain_text(fields["id"])
        page.goto(f"{console.url}/en/units")
        expect(page.locator(".crumbs")).to_contain_text("Your scope")
        for outside in (other, "G00"):
            page.goto(f"{console.url}/en/units?unit={outside}")
            expect(page.locator(".notice")).to_contain_text("No open unit has this code")
            expect(page.locator(".units")).not_to_contain_text(outside)
