"""The page for people: what happened to one document, in Vietnamese and English, and what that proves.

Made from the proving parts alone, so a verifier makes it again and compares; it loads nothing and runs nothing.
All that a stranger wrote is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape

from exchange.ledger.evidence.story import Story, Told
from exchange.ledger.stamps import claim
from exchange.statements.status import CODES

ROWS_MAX = 2_000
"""Events and receipts shown; all of them are in the file."""

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}i{color:#555}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;"
    "border-bottom:1px solid #ddd}code{font-size:.85em;overflow-wrap:anywhere}"
)
_OUTCOMES = {
    "accepted": "tiếp nhận · accepted",
    "rejected": "từ chối · rejected",
    "duplicate": "gửi lặp lại · duplicate",
    "set_aside": "để riêng · set aside",
    "erased": "đã xóa · erased",
}
_STATUSES = {
    1: "đã đến", 2: "từ chối", 3: "đã tiếp nhận", 4: "phân công", 5: "đang xử lý", 6: "hoàn thành",
    13: "đề nghị thu hồi", 15: "đồng ý", 16: "không đồng ý",
}  # fmt: skip
_EPOCH = date(1970, 1, 1)
_ZONE = timedelta(hours=7)


def page(story: Story) -> bytes:
    """The page as HTML, in one file."""
    about = story.about
    title = f"{about['sender']} / {about['id']}"
    body = [
        f"<h1>Bằng chứng về một văn bản<br><i>Evidence about one document</i></h1><p><code>{_e(title)}</code></p>",
        _section("Văn bản", "The document", _table((), _document(story))),
        _section("Vết xử lý", "What happened", _table(("Giờ VN · Time", "Sự kiện · Event", "Nơi · Place"),
                                                      _rows(map(_event, story.events)))),
        _section("Biên nhận đã ký", "Signed receipts", _table(("Giờ VN · Time", "Đơn vị · Agency", "Mã · Code"),
                                                              _rows(_receipts(story)))),
        _section("Cam kết của trục", "What the exchange signed", _table(("Giờ VN · Time", "Nội dung · What"),
                                                                       _rows(_promised(story)))),
        _section("Sổ cái", "The ledger", _table((), _ledger(story))),
        _section("Kiểm tra", "How to check", "<p>Xem README.txt: chỉ cần <code>openssl</code> và 15 dòng Python. "
                 "<i>See README.txt: nothing but <code>openssl</code> and 15 lines of Python.</i></p>"),
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><title>{_e(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="vi"><head>{head}</head><body>\n{"".join(body)}</body></html>\n'.encode()


def clock(ms: int) -> str:
    """A broker's time in Vietnam; a number that is no time stays one."""
    try:
        return (datetime.fromtimestamp(ms / 1000, UTC) + _ZONE).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def _document(story: Story) -> Iterable[Sequence[str]]:
    event = story.accepted.event
    summary = event["summary"]
    if summary is not None:
        yield "Số, ký hiệu · Number", summary["code"]
        yield "Trích yếu · Subject", summary["subject"]
        yield "Ngày ban hành · Issued", _day(summary["issued"])
        yield "Tệp kèm theo · Attachments", f"{summary['attachments']} ({summary['bytes']} B)"
    yield "Đơn vị gửi · Sender", event["sender"]
    yield "Đơn vị nhận · Recipients", ", ".join(story.recipients[:50]) + (" …" if len(story.recipients) > 50 else "")
    yield "Tiếp nhận lúc · Taken in", clock(event["append_ms"])
    yield "Chữ ký · Signatures", ", ".join(str(one["algorithm"]) for one in story.record["signatures"])
    yield "SHA-256", story.statement.digest.hex()


def _event(told: Told) -> Sequence[str]:
    event, leaf = told.event, told.leaf
    what: str = _OUTCOMES.get(event["outcome"], "")
    if event["code"]:
        what += f" ({event['code']})"
    if event["status"] is not None:
        what += f": {event['status']['code']:02d} {event['sender']}"
    elif not event["verified"]:
        what += " – chữ ký không đúng · not proved to be the sender's"
    return clock(event["append_ms"]), what, f"{leaf['topic']}/{leaf['partition']}/{event['offset']}"


def _receipts(story: Story) -> Iterable[Sequence[str]]:
    for _, told in story.said:
        status = told.event["status"] or {"code": 0, "reason": ""}
        code = status["code"]
        words = f"{code:02d} {_STATUSES.get(code, '')} · {CODES.get(code, '')}"
        yield clock(told.event["append_ms"]), told.event["sender"], f"{words} {status['reason']}".strip()


def _promised(story: Story) -> Iterable[Sequence[str]]:
    for word in story.promised:
        fields = word.fields
        if word.name == "promise":
            yield clock(fields["included_ms"]), "có trong sổ cái chậm nhất lúc này · in the ledger by then"
        else:
            what = "chưa có biên nhận khi đến hạn · had not answered when it was due"
            yield clock(fields["deadline_ms"]), f"{fields['recipient']}: {what}"


def _ledger(story: Story) -> Iterable[Sequence[str]]:
    checkpoint = story.checkpoint
    yield "Sổ · Log", checkpoint.origin
    yield "Số sự kiện trong sổ · Events in it", str(checkpoint.size)
    yield "Gốc Merkle · Root", checkpoint.root.hex()
    if story.stamps:
        times = (clock(claim(token).time_ms) for token in story.stamps.values())
        yield "Dấu thời gian · Time-stamps", ", ".join(times)
    yield "Sự kiện trong tệp này · Events in this file", str(len(story.events))


def _rows(rows: Iterable[Sequence[str]]) -> Iterable[Sequence[str]]:
    for number, row in enumerate(rows):
        if number == ROWS_MAX:
            yield ("…", "", "")
            return
        yield row


def _section(vietnamese: str, english: str, body: str) -> str:
    return f"<h2>{vietnamese} · <i>{english}</i></h2>{body}\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table>{top}\n{body}</table>"


def _day(days: int) -> str:
    try:
        return (_EPOCH + timedelta(days=days)).isoformat()
    except OverflowError:
        return str(days)


def _e(text: object) -> str:
    return escape(str(text))
