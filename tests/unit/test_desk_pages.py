"""The desk's pages without an exchange: who may use them, what they show, what is signed while the exchange is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.desk import words
from connectors.desk.app import create_app
from connectors.desk.book import Book
from connectors.desk.clerk import Clerk, fold
from connectors.desk.guard import Guarded, Keeper
from connectors.desk.limits import Limits
from connectors.shared.arrivals import FILES
from connectors.shared.figures import Figures
from exchange import Agency
from exchange.errors import Rejected
from exchange.sdk import load_key
from tests.support.desks import only_file, place
from tests.support.gateways import self_signed

PORT = 8482
OWN = f"http://127.0.0.1:{PORT}"
HOSTILE = "<script>alert(1)</script> \"x\" {{ 7*7 }} & 'y'"


@pytest.fixture
def clerk(tmp_path: Path) -> Iterator[Clerk]:
    """Of an agency whose gateway is away: what is signed waits in the outbox."""
    self_signed(tmp_path)  # some key and its certificate: nobody verifies it here
    key = load_key(tmp_path, "gateway")
    with Agency("H41.15", key, "http://127.0.0.1:1", folder=tmp_path / "agency", patience_s=0) as agency:
        one = Clerk(agency, tmp_path / "desk", Figures("desk"), Limits(body_bytes=100_000, page=3))
        yield one
        one.close()


class Desk:
    """A browser of sorts at the pages."""

    def __init__(self, clerk: Clerk) -> None:
        self.keeper = Keeper(PORT)
        self.app: Guarded = create_app(clerk, self.keeper, lambda: True)
        self.cookies = httpx.Cookies()

    async def get(self, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        return await self._ask("GET", path, **more)

    async def post(self, path: str, data: dict[str, str], **more: Any) -> httpx.Response:  # noqa: ANN401
        data = {"form": self.keeper.form} | data
        return await self._ask("POST", path, **{"data": data, "headers": {"origin": OWN}} | more)

    async def open(self) -> None:
        answer = await self.get(f"/open?token={self.keeper.token}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=OWN, cookies=self.cookies) as client:
            answer = await client.request(method, path, **more)
            self.cookies.update(client.cookies)
            return answer


@pytest.fixture
async def desk(clerk: Clerk) -> Desk:
    one = Desk(clerk)
    await one.open()
    return one


async def test_nobody_without_the_token(clerk: Clerk) -> None:
    stranger = Desk(clerk)
    name = place(clerk, "Mật khẩu")
    for path in (
        "/",
        f"/in/{name}",
        f"/in/{name}/file/0",
        "/register",
        "/sent",
        "/send",
        "/agencies?find=ha",
        "/unread",
    ):
        answer = await stranger.get(path)
        assert answer.status_code == 401, path
        assert "Mật khẩu" not in answer.text
    assert (await stranger.get("/open?token=guess")).status_code == 401
    assert (await stranger.get("/open")).status_code == 401
    stranger.cookies.set(stranger.keeper.cookie, stranger.keeper.token, domain="127.0.0.1")
    assert (await stranger.get("/")).status_code == 401, "the address' token isn't the cookie's"
    await stranger.open()
    assert "Mật khẩu" in (await stranger.get("/")).text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1", "evil.example:8482"])
async def test_no_other_host(desk: Desk, host: str) -> None:
    assert (await desk.get("/", headers={"host": host})).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
        {"origin": OWN, "sec-fetch-site": "cross-site"}, {"origin": OWN, "sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
async def test_another_page_changes_nothing(desk: Desk, clerk: Clerk, headers: dict[str, str]) -> None:
    name = place(clerk, "x")
    assert (await desk.post(f"/in/{name}/accept", {"incoming": "1"}, headers=headers)).status_code == 403
    assert (await desk.post(f"/in/{name}/accept", {"incoming": "1", "form": "guess"})).status_code == 403
    row = clerk.book.received(name)
    assert row is not None
    assert row["state"] == "new"


async def test_what_a_page_may_do(desk: Desk, clerk: Clerk) -> None:
    name = place(clerk, "x", {"a.html": b"<script>"})
    for path in ("/", "/send", "/static/desk.css", f"/in/{name}/file/0"):
        headers = (await desk.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    page = (await desk.get("/send")).text
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", page)
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)
    file = await desk.get(f"/in/{name}/file/0")
    assert file.headers["content-disposition"].startswith("attachment;")
    assert file.headers["content-type"] == "application/octet-stream"


async def test_what_a_document_says_is_text(desk: Desk, clerk: Clerk) -> None:
    name = place(clerk, HOSTILE, {HOSTILE.replace("/", "_"): b"x"}, content=HOSTILE)
    for path in ("/", f"/in/{name}"):
        page = (await desk.get(path)).text
        assert "<script>alert" not in page
        assert "{{ 7*7 }}" in page
        assert "&lt;script&gt;alert(1)" in page
    answer = await desk.get(f"/?find={HOSTILE}")
    assert "<script>alert" not in answer.text


async def test_into_the_register(desk: Desk, clerk: Clerk) -> None:
    names = [place(clerk, f"Văn bản {number}") for number in range(3)]
    assert '<span class="count" title="3' in (await desk.get("/")).text
    assert 'value="1"' in (await desk.get(f"/in/{names[0]}")).text
    assert '<span class="count" title="2' in (await desk.get("/")).text
    answer = await desk.post(f"/in/{names[0]}/accept", {"incoming": "41"})
    assert answer.status_code == 303
    assert "số đến 41" in (await desk.get(answer.headers["location"])).text
    assert 'value="42"' in (await desk.get(f"/in/{names[1]}")).text
    taken = await desk.post(f"/in/{names[1]}/accept", {"incoming": "41"})
    assert taken.status_code == 422
    assert "desk.number_taken" in taken.text
    for bad in ("", "0", "-1", "x", "٣", "99999999999999999999"):
        assert "desk.number" in (await desk.post(f"/in/{names[1]}/accept", {"incoming": bad})).text
    assert "desk.decided" in (await desk.post(f"/in/{names[0]}/refuse", {"reason": "x"})).text
    assert "<strong>41</strong>" in (await desk.get("/register")).text
    assert clerk.agency.waiting == 3 + 1, "three arrived, one accepted; the refused attempts signed nothing"
    assert "Văn bản 0" not in (await desk.get("/")).text
    assert "Văn bản 0" in (await desk.get("/?show=all")).text


async def test_refused_with_a_reason(desk: Desk, clerk: Clerk) -> None:
    name = place(clerk, "Gửi nhầm")
    assert "desk.reason" in (await desk.post(f"/in/{name}/refuse", {"reason": "  "})).text
    long = await desk.post(f"/in/{name}/refuse", {"reason": "dài " * 300})
    assert "text.too_long" in long.text
    assert "dài dài" in long.text, "what was typed is still there"
    answer = await desk.post(f"/in/{name}/refuse", {"reason": "Không thuộc thẩm quyền"})
    page = (await desk.get(answer.headers["location"])).text
    assert "Không thuộc thẩm quyền" in page
    assert "Đã từ chối" in page
    assert f"/in/{name}/accept" not in page


async def test_a_recall_is_answered_about_the_document_that_it_recalls(desk: Desk, clerk: Clerk) -> None:
    first = place(clerk, "Kế hoạch")
    row = clerk.book.received(first)
    assert row is not None
    asks: dict[str, Any] = {"business": "recall", "thread": f"H26/{row['id']}"}
    names = [place(clerk, subject, **asks) for subject in ("Thu hồi", "Thu hồi lần nữa")]
    page = (await desk.get(f"/in/{names[0]}")).text
    assert "Vào sổ</button>" not in page
    assert f'<a href="/in/{first}">Kế hoạch</a>' in page
    answer = await desk.post(f"/in/{names[0]}/answer", {"answer": "agree"})
    assert "Đã đồng ý" in (await desk.get(answer.headers["location"])).text
    assert "desk.reason" in (await desk.post(f"/in/{names[1]}/answer", {"answer": "decline"})).text
    answer = await desk.post(f"/in/{names[1]}/answer", {"answer": "decline", "reason": "Đã ban hành"})
    assert "Đã không đồng ý" in (await desk.get(answer.headers["location"])).text
    assert "desk.no_request" in (await desk.post(f"/in/{first}/answer", {"answer": "agree"})).text
    said = [one.fields for one in clerk.agency._outbox.first(10, 1 << 20)][3:]
    assert [(one["code"], one["document"], one["reason"]) for one in said] == [
        (15, {"sender": "H26", "id": row["id"]}, ""), (16, {"sender": "H26", "id": row["id"]}, "Đã ban hành")
    ]  # fmt: skip


async def test_a_file_that_was_changed_on_this_disk_isnt_handed_out(desk: Desk, clerk: Clerk) -> None:
    name = place(clerk, "x", {"kế hoạch.pdf": b"plan"})
    answer = await desk.get(f"/in/{name}/file/0")
    assert (answer.status_code, answer.content) == (200, b"plan")
    assert "k%E1%BA%BF%20ho%E1%BA%A1ch.pdf" in answer.headers["content-disposition"]
    only_file(clerk.items / name / FILES).write_bytes(b"fake")
    answer = await desk.get(f"/in/{name}/file/0")
    assert answer.status_code == 409
    assert "attachment.differs" in answer.text
    assert (await desk.get(f"/in/{name}/file/1")).status_code == 404
    assert (await desk.get("/in/nothing/file/0")).status_code == 404
    assert (await desk.get("/in/..%2F..%2Fbook.sqlite")).status_code == 404


async def test_searching_pages_and_english(desk: Desk, clerk: Clerk) -> None:
    for number in range(5):
        place(clerk, f"Kế hoạch số {number}")
    place(clerk, "Đề án 100%")
    first = (await desk.get("/?show=all")).text
    assert first.count('class="main"') == 3
    assert "page=2" in first
    assert (await desk.get("/?show=all&page=2")).text.count('class="main"') == 3
    assert (await desk.get("/?find=ke+hoach+so+3")).text.count('class="main"') == 1
    assert (await desk.get("/?find=100%25")).text.count('class="main"') == 1
    assert (await desk.get("/?find=de+an")).text.count('class="main"') == 1
    for page in ("0", "-1", "x", "9" * 30):
        assert (await desk.get(f"/?page={page}")).status_code == 200
    assert (await desk.get("/language?to=en&back=/sent")).headers["location"] == "/sent"
    assert "Not acknowledged" in (await desk.get("/")).text or "Inbox" in (await desk.get("/")).text
    for back in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert (await desk.get("/language", params={"to": "vi", "back": back})).headers["location"] == "/"


async def test_while_the_exchange_is_away_a_letter_isnt_lost(desk: Desk, clerk: Clerk) -> None:
    """Codes are taken as they are, and the letter waits, signed; a name can't be looked up, and stays in the form."""
    typed = {"id": "l-1", "recipients": "H26\nG22", "subject": "Báo cáo", "number": "7", "notation": "BC-UBND"}
    named = typed | {"recipients": "H26\nBộ Tài chính"}
    answer = await desk.post("/send", named, files=[("files", ("a.txt", b"a"))])
    assert answer.status_code == 422
    assert "gateway.unavailable" in answer.text
    assert "H26\nBộ Tài chính" in answer.text
    assert 'value="Báo cáo"' in answer.text
    assert 'value="l-1"' in answer.text, "the same letter when it is sent again"
    assert list(clerk.uploads.iterdir()) == []
    assert clerk.book.outbox(10, 0) == []

    for _ in range(2):
        answer = await desk.post("/send", typed, files=[("files", ("a.txt", b"a"))])
        assert answer.headers["location"] == "/sent/l-1?done=sent"
    assert clerk.agency.waiting == 1, "sent twice from one form is sent once"
    page = (await desk.get("/sent/l-1")).text
    assert "Chờ gửi" in page
    assert "Chưa báo nhận (2)" in page
    assert "được ký và gửi." not in page


async def test_what_a_rule_refuses_comes_back_and_nothing_is_kept(desk: Desk, clerk: Clerk) -> None:
    typed = {
        "id": "l-3",
        "recipients": "H26",
        "subject": "x" * 501,
        "number": "7",
        "notation": "BC",
        "content": "Kính gửi",
    }
    answer = await desk.post("/send", typed)
    assert answer.status_code == 422
    assert "text.too_long" in answer.text
    assert "Kính gửi" in answer.text
    assert clerk.book.outbox(10, 0) == []
    assert clerk.agency.waiting == 0


async def test_bounds(desk: Desk, clerk: Clerk) -> None:
    big = await desk.post("/send", {"id": "l-2"}, files=[("files", ("a.bin", b"x" * 200_000))])
    assert big.status_code == 413
    many = await desk.post(
        "/send", {"id": "l-2", "recipients": "H26"}, files=[("files", (f"{n}", b"x")) for n in range(21)]
    )
    assert many.status_code == 422
    assert "desk.too_many" in many.text
    assert (await desk.post("/send", {str(n): "x" for n in range(60)})).status_code == 400
    assert (await desk.get("/nothing")).status_code == 404


def test_a_decision_cut_off_is_signed_at_the_next_start(clerk: Clerk) -> None:
    name = place(clerk, "x")
    book: Book = clerk.book
    book.decide(name, "accepting", 1, incoming=9, year=2026, reason="")
    assert clerk.agency.waiting == 1
    [row] = book.undecided()
    clerk._sign(row)
    assert clerk.agency.waiting == 2
    assert book.undecided() == []
    with pytest.raises(Rejected, match=r"desk\.decided"):
        clerk.refuse(name, "x")


def test_the_newest_word_of_a_recipient_stands(clerk: Clerk) -> None:
    for at_ms, code in ((2, 3), (1, 1)):
        clerk.book.say("d-1", "H26", code, "", at_ms)
    assert clerk.book.said("d-1")["H26"]["code"] == 3


def test_every_word_has_both_languages() -> None:
    for word, (vietnamese, english) in words.WORDS.items():
        assert vietnamese, word
        assert english, word
        assert vietnamese.count("{}") == english.count("{}"), word
    pages = Path(words.__file__).parent / "pages"
    used = {
        one for path in pages.glob("*.html") for one in re.findall(r"\bt\('([a-z0-9_.]+)'[,)]", path.read_text("utf-8"))
    }
    assert used <= set(words.WORDS)
    assert len(used) > 40


def test_folding() -> None:
    assert fold("ĐỀ ÁN Kế hoạch") == "de an ke hoach"
