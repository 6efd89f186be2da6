"""The desk as a clerk uses it: `exchange desk`, a browser, a real gateway and exchange."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.sdk import Received
from tests.support.gateways import Served, free_port, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

CHROMIUM = Path("/usr/bin/chromium")
SETTLE_S = 60.0
NARROW = 390


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def clerk(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 16)


@pytest.fixture
def other(served: Served, exchange: Exchange, tmp_path: Path) -> Iterator[Agency]:
    member = exchange.member(Level.PROVINCE, 16)
    with Agency(member.agency.code, member.key, served.url, folder=tmp_path / "other") as agency:
        list(agency.inbox())
        yield agency


@pytest.fixture
def desk(served: Served, exchange: Exchange, clerk: Member, tmp_path: Path) -> Iterator[str]:
    """The address that the command prints."""
    code = clerk.agency.code
    command = [
        sys.executable, "-m", "exchange", "desk", code, "--key", str(exchange.world.home.keys / "agencies" / code),
        "--gateway", served.url, "--folder", str(tmp_path / "desk"), "--port", str(free_port()),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} isn't installed")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(browser: Browser, desk: str) -> Iterator[Page]:
    """A page in a narrow window, in which every message of the console and every foreign address is a failure."""
    context = browser.new_context(viewport={"width": NARROW, "height": 800})
    one = context.new_page()
    wrong: list[str] = []
    here = urlsplit(desk).netloc
    one.on("console", lambda message: wrong.append(message.text))
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("request", lambda request: wrong.append(request.url) if urlsplit(request.url).netloc != here else None)
    assert wait_until(lambda: _opened(one, desk), SETTLE_S)
    wrong.clear()
    yield one
    context.close()
    assert [one for one in wrong if "status of 422" not in one] == []


def _opened(page: Page, url: str) -> bool:
    try:
        answer = page.goto(url)
    except Error:  # nobody listens there yet
        return False
    return answer is not None and answer.ok


def shown(page: Page, path: str, text: str) -> None:
    """Go to a page again and again until it says this."""
    url = f"http://{urlsplit(page.url).netloc}{path}"

    def look() -> bool:
        page.goto(url)
        return text in page.content()

    assert wait_until(look, SETTLE_S), page.content()


def fits(page: Page) -> bool:
    """Nothing runs over the window's edge."""
    over: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return over <= 0


def told(agency: Agency, wanted: Callable[[Received], bool]) -> bool:
    return wait_until(lambda: any(wanted(one) for one in agency.inbox()), SETTLE_S)


def test_a_clerks_day(page: Page, other: Agency, clerk: Member, tmp_path: Path) -> None:
    """Received, downloaded, entered in the register; answered with two files; acknowledged."""
    plan = tmp_path / "kế hoạch.pdf"
    plan.write_bytes(b"%PDF-1.7 plan")
    published = other.publish([plan], [clerk.agency.code], "Kế hoạch của ngày <b>hôm nay</b>", code=("15", "KH-UBND"))
    shown(page, "/", "Kế hoạch của ngày &lt;b&gt;hôm nay&lt;/b&gt;")
    assert fits(page)
    assert told(other, lambda one: one.kind == "status" and one.fields["code"] == 1)

    page.get_by_role("link", name="Kế hoạch của ngày").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<b>hôm nay</b>")
    assert fits(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="kế hoạch.pdf").click()
    assert download.value.path().read_bytes() == plan.read_bytes()
    assert download.value.suggested_filename == "kế hoạch.pdf"
    page.get_by_label("Số đến").fill("41")
    page.get_by_role("button", name="Vào sổ").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("số đến 41")
    assert told(other, lambda one: one.kind == "status" and one.fields["code"] == 3)
    page.get_by_role("link", name="Sổ đến").click()
    expect(page.get_by_role("row", name="Kế hoạch của ngày")).to_contain_text("41")
    assert fits(page)

    page.get_by_role("link", name="Gửi văn bản").click()
    page.get_by_label("Tìm đơn vị").fill(other.code)
    page.locator("#agencies option").first.wait_for(state="attached")
    page.get_by_label("Tìm đơn vị").press("Enter")
    page.get_by_label("Trích yếu", exact=True).fill("Báo cáo kết quả")
    page.get_by_label("Số", exact=True).fill("7")
    page.get_by_label("Ký hiệu").fill("BC-UBND")
    page.get_by_label("Loại văn bản").select_option("BC")
    for name in ("báo cáo.txt", "biểu.txt"):
        (tmp_path / name).write_text(name, "utf-8")
    page.get_by_label("Tệp đính kèm").set_input_files([tmp_path / "báo cáo.txt", tmp_path / "biểu.txt"])
    assert fits(page)
    page.get_by_role("button", name="Ký và gửi").click()
    expect(page.get_by_role("status")).to_contain_text("đã được ký và gửi")
    expect(page.get_by_role("heading", name="Chưa báo nhận (1)")).to_be_visible()
    sent_page = urlsplit(page.url).path

    got = next(
        one for one in other.inbox(follow=True, kinds=["document"]) if one.fields["subject"] == "Báo cáo kết quả"
    )
    assert (got.fields["type"], got.fields["sender"]) == ("BC", clerk.agency.code)
    saved = other.save(got, tmp_path / "saved")
    assert [path.read_text("utf-8") for path in saved] == ["báo cáo.txt", "biểu.txt"]
    other.acknowledge(got, 2, "Thiếu biểu số 3")
    shown(page, sent_page, "Thiếu biểu số 3")
    assert "Chưa báo nhận" not in page.content()
    assert published.is_sent


def test_refusing_by_keyboard_in_english(page: Page, other: Agency, clerk: Member) -> None:
    other.publish([], [clerk.agency.code], "Gửi nhầm địa chỉ")
    shown(page, "/", "Gửi nhầm địa chỉ")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Đến nội dung chính")).to_be_focused()
    page.get_by_role("link", name="English").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Inbox")
    page.get_by_role("link", name="Gửi nhầm địa chỉ").press("Enter")
    page.get_by_label("Reason").press_sequentially("Not ours")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Refused")
    assert told(other, lambda one: one.kind == "status" and one.fields["reason"] == "Not ours")


def test_a_recall_is_answered(page: Page, other: Agency, clerk: Member) -> None:
    published = other.publish([], [clerk.agency.code], "Giấy mời họp")
    shown(page, "/", "Giấy mời họp")
    other.recall(published, "Thu hồi giấy mời")
    shown(page, "/", "Thu hồi giấy mời")
    page.get_by_role("link", name="Thu hồi giấy mời").click()
    expect(page.get_by_role("link", name="Giấy mời họp")).to_be_visible()
    page.get_by_role("button", name="Đồng ý", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Đã trả lời")
    assert told(other, lambda one: one.kind == "status" and one.fields["code"] == 15)


def test_a_recipient_that_isnt_one(page: Page) -> None:
    page.get_by_role("link", name="Gửi văn bản").click()
    page.locator("#recipients").fill("Ủy ban nhân dân không có thật")
    page.get_by_label("Trích yếu", exact=True).fill("Báo cáo")
    page.get_by_label("Số", exact=True).fill("8")
    page.get_by_label("Ký hiệu").fill("BC")
    with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
        page.get_by_role("button", name="Ký và gửi").click()
    assert posted.value.status == 422
    expect(page.get_by_role("alert")).to_contain_text("Không tìm thấy đơn vị: Ủy ban nhân dân không có thật")
    expect(page.get_by_label("Số", exact=True)).to_have_value("8")
