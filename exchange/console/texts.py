"""Every word that the console says, in Vietnamese and in English; numbers and times as each language writes them.

Guarantees: both languages have each text, with the same blanks to fill in (a test). Times are Vietnam's.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal

from exchange.agencies.levels import Level

Language = Literal["vi", "en"]
LANGUAGES: tuple[Language, ...] = ("vi", "en")
NAMES = {"vi": "Tiếng Việt", "en": "English"}

VIETNAM = timezone(timedelta(hours=7))

TEXTS: dict[str, tuple[str, str]] = {
    # The frame.
    "frame.subtitle": ("Trục liên thông văn bản", "Document exchange"),
    "frame.skip": ("Đến nội dung chính", "Skip to the content"),
    "frame.pages": ("Các trang", "Pages"),
    "frame.language": ("Ngôn ngữ", "Language"),
    "frame.theme": ("Giao diện", "Theme"),
    "frame.who": ("Người dùng: {who}. Mỗi lượt tra cứu đều được ghi lại.", "You are {who}. Every look is recorded."),
    "frame.closed": ("Vai trò của bạn không được xem trang này.", "Your role doesn't open this page."),
    "theme.system": ("Theo hệ thống", "As the system"),
    "theme.light": ("Sáng", "Light"),
    "theme.dark": ("Tối", "Dark"),
    "page.now": ("Hiện tại", "Now"),
    "page.documents": ("Văn bản", "Documents"),
    "page.units": ("Đơn vị", "Units"),
    "page.dead-letters": ("Bị từ chối", "Dead letters"),
    "page.history": ("Lịch sử", "History"),
    "level.1": ("Trung ương", "Central"),
    "level.2": ("Tỉnh", "Province"),
    "level.3": ("Huyện", "District"),
    "level.4": ("Xã", "Commune"),
    "level.0": ("Không rõ", "Unknown"),
    # What is away.
    "away.kafka": (
        "Kafka không trả lời. Trang này tự cập nhật khi Kafka hoạt động trở lại. ({code})",
        "Kafka doesn't answer. This page goes on by itself when it does. ({code})",
    ),
    "away.postgres": (
        "PostgreSQL không trả lời. Trang này tự cập nhật khi PostgreSQL hoạt động trở lại. ({code})",
        "PostgreSQL doesn't answer. This page goes on by itself when it does. ({code})",
    ),
    "away.services": (
        "Dịch vụ đã dừng: chạy `exchange up`. Trang này tự cập nhật sau đó. ({code})",
        "The services are down: run `exchange up`. This page goes on by itself then. ({code})",
    ),
    "away.nothing": (
        "Chưa có dữ liệu: `exchange run` đã chạy chưa? ({code})",
        "There is nothing yet: does `exchange run` run? ({code})",
    ),
    "away.other": ("Hiện không có. Trang này sẽ tự thử lại. ({code})", "Not available now; tried again. ({code})"),
    # Now.
    "now.matrix": ("Giữa các cấp", "Between the levels"),
    "now.matrix_caption": (
        "Văn bản và báo cáo trong một giờ qua; dưới là tốc độ năm phút gần nhất",
        "Documents and reports of the last hour; below them the rate of the last five minutes",
    ),
    "now.from_to": ("Gửi ↓ Nhận →", "From ↓ to →"),
    "now.cell_rate": ("{rate}/phút", "{rate}/min"),
    "now.strips": ("Một giờ qua, theo cấp gửi", "The last hour, by the sender's level"),
    "now.strip": ("{total} trong giờ qua, cao nhất {peak}/phút", "{total} in the hour, at most {peak} a minute"),
    "now.rejections": ("Từ chối trong giờ qua", "Refused in the last hour"),
    "now.reason": ("Lý do", "Reason"),
    "now.count": ("Số lượng", "Count"),
    "now.no_rejections": ("Không có", "None"),
    "now.processes": ("Tiến trình", "Processes"),
    "now.process": ("Tên", "Name"),
    "now.state": ("Trạng thái", "State"),
    "now.memory": ("Bộ nhớ", "Memory"),
    "now.no_processes": ("Không thấy tiến trình nào ở đây", "None are seen from here"),
    "now.rate": ("Tốc độ", "Rate"),
    "now.a_minute": ("văn bản và báo cáo mỗi phút", "documents and reports a minute"),
    "now.accepted": ("Đã tiếp nhận", "Accepted"),
    "now.in_hour": ("trong giờ qua", "in the last hour"),
    "now.backlog": ("Đang chờ", "Waiting"),
    "now.records": ("bản gửi", "submissions"),
    "now.trace_store": ("kho vết chậm {count} bản ghi", "trace store {count} records behind"),
    "now.drains": ("xong sau {time}", "done in {time}"),
    "now.unwitnessed": ("Chưa có nhân chứng", "Unwitnessed for"),
    "now.of_ledger": ("của sổ cái", "of the ledger"),
    "now.never_witnessed": ("sổ cái chưa từng được chứng thực", "the ledger never was"),
    "now.gaps": (
        "{count} đoạn chưa được đếm: các tổng này thấp hơn thực tế (`exchange throughput`).",
        "{count} stretches weren't counted: these sums are too small (`exchange throughput`).",
    ),
    "state.running": ("đang chạy", "running"),
    "state.stopped": ("đã dừng", "stopped"),
    "state.crashed": ("bị ngắt đột ngột", "crashed"),
    "state.disk_full": ("đầy đĩa", "disk full"),
    # What a page does.
    "acting.working": ("Đang thực hiện …", "At work …"),
    "acting.refused": ("Không thực hiện được: {code}", "Refused: {code}"),
    # Documents.
    "documents.reason": ("Lý do tra cứu (bắt buộc)", "Why you look (required)"),
    "documents.reason_hint": (
        "Được ghi lại vĩnh viễn, cùng với những gì bạn xem",
        "Recorded for ever, with what you look at",
    ),
    "documents.subject": ("Trích yếu", "Words of the subject"),
    "documents.code": ("Số, ký hiệu", "Number and notation"),
    "documents.id": ("Mã định danh", "Id"),
    "documents.sender": ("Mã đơn vị gửi", "Sender's code"),
    "documents.recipient": ("Mã đơn vị nhận", "Recipient's code"),
    "documents.since": ("Từ ngày", "Since"),
    "documents.until": ("Đến ngày", "Until"),
    "documents.outcome": ("Kết quả", "What became of it"),
    "documents.status": ("Trạng thái ở đơn vị nhận", "What a copy has come to"),
    "documents.any": ("Tất cả", "Any"),
    "documents.below": ("Gồm cả các đơn vị trực thuộc", "And all units below them"),
    "documents.search": ("Tìm kiếm", "Search"),
    "documents.found": ("Kết quả, mới nhất trước", "Found, newest first"),
    "documents.nothing": ("Không tìm thấy.", "Nothing found."),
    "documents.more": ("Xem thêm", "More"),
    "documents.unnamed": ("(không có mã)", "(without an id)"),
    "documents.claimed": ("tự xưng", "claimed"),
    "documents.and_more": ("và {count} đơn vị khác", "and {count} more"),
    "documents.receipts": ("biên nhận {done}/{all}", "receipts {done}/{all}"),
    "kind.document": ("văn bản", "document"),
    "kind.report": ("báo cáo", "report"),
    "kind.status": ("trạng thái", "status"),
    "kind.": ("không rõ", "unknown"),
    "outcome.accepted": ("đã tiếp nhận", "accepted"),
    "outcome.rejected": ("bị từ chối", "rejected"),
    "outcome.duplicate": ("trùng lặp", "duplicate"),
    "outcome.set_aside": ("để riêng", "set aside"),
    "outcome.erased": ("đã xóa", "erased"),
    "copy.waiting": ("đã giao, chưa có biên nhận", "delivered, no receipt yet"),
    "copy.arrived": ("đã đến", "arrived"),
    "copy.refused": ("từ chối nhận", "refused"),
    "copy.accepted": ("đã tiếp nhận", "accepted"),
    "copy.assigning": ("đang phân công", "assigning"),
    "copy.in-progress": ("đang xử lý", "in progress"),
    "copy.finished": ("đã hoàn thành", "finished"),
    "copy.withdrawn": ("đã thu hồi", "withdrawn"),
    "copy.undeliverable": ("không giao được", "undeliverable"),
    "copy.take_back_open": ("đang đề nghị thu hồi", "take-back asked"),
    "copy.change_open": ("đang đề nghị sửa đổi", "change announced"),
    "status.1": ("đã đến", "arrived"),
    "status.2": ("từ chối nhận", "refused"),
    "status.3": ("đã tiếp nhận", "accepted"),
    "status.4": ("đang phân công", "assigning"),
    "status.5": ("đang xử lý", "in progress"),
    "status.6": ("đã hoàn thành", "finished"),
    "status.13": ("đề nghị thu hồi", "take-back asked"),
    "status.15": ("đồng ý", "agreed"),
    "status.16": ("không đồng ý", "declined"),
    "status.0": ("khác", "other"),
    "urgency.0": ("thường", "normal"),
    "urgency.1": ("khẩn", "urgent"),
    "urgency.2": ("thượng khẩn", "very urgent"),
    "urgency.3": ("hỏa tốc", "most urgent"),
    "urgency.4": ("hỏa tốc hẹn giờ", "most urgent, at a set time"),
    # One document's way.
    "way.back": ("← Về danh sách kết quả", "← Back to what was found"),
    "way.unknown": ("Chưa từng có bản gửi nào mang mã này.", "Nothing ever bore this id."),
    "way.never": ("Chưa từng được tiếp nhận.", "Never accepted."),
    "way.suspect": (
        "Đáng ngờ: khóa của một con dấu trong vết này có thể đã thuộc về người khác vào lúc ký.",
        "Suspect: the key of a seal in it may have been another's when it signed.",
    ),
    "way.erased": (
        "Đã xóa theo quyết định lúc {at} của {by} và {second}:",
        "Erased, decided {at} by {by} and {second}:",
    ),
    "way.incomplete": ("Quá nhiều sự kiện: chỉ hiện một phần.", "Too many events: only a part is shown."),
    "way.evidence": ("Tải tệp bằng chứng", "Download the evidence"),
    "way.sender": ("Đơn vị gửi", "Sender"),
    "way.code": ("Loại, số và ký hiệu", "Type, number, notation"),
    "way.issued": ("Ngày ban hành", "Issued"),
    "way.urgency": ("Độ khẩn", "Urgency"),
    "way.due": ("Hạn xử lý", "Due"),
    "way.attachments": ("Tệp đính kèm", "Attachments"),
    "way.files": ("{count} tệp, {size}", "{count} file(s), {size}"),
    "way.signed": ("Chữ ký", "Signed by"),
    "way.by_seal": ("con dấu của đơn vị", "the agency's own seal"),
    "way.by_connector": ("bộ kết nối của đơn vị", "the agency's connector"),
    "way.id": ("Mã định danh", "Id"),
    "way.sha256": ("SHA-256 của phát biểu", "SHA-256 of the statement"),
    "way.what": ("Vết xử lý", "What happened"),
    "way.submitted": ("gửi bởi", "submitted by"),
    "way.accepted": ("đã kiểm tra, tiếp nhận và chuyển bởi {worker}", "verified, accepted and routed by {worker}"),
    "way.at_offset": ("danh bạ {directory}, vết {trace}", "directory {directory}, trace {trace}"),
    "way.again": ("gửi lại đúng nội dung cũ: không giao lần hai", "the same bytes again: no second delivery"),
    "way.rejected": ("một bản gửi cùng mã bị từ chối", "a claim of this id was rejected"),
    "way.step": ("{code} {what}:", "{code} {what}:"),
    "way.related": ("văn bản liên quan", "related document"),
    "way.more_steps": ("và {count} sự kiện khác (`exchange trace`)", "and {count} more events (`exchange trace`)"),
    "way.copies": ("Đơn vị nhận: {count}, đã có biên nhận: {done}", "Recipients: {count}, acknowledged: {done}"),
    "way.recipient": ("Đơn vị nhận", "Recipient"),
    "way.level": ("Cấp", "Level"),
    "way.state": ("Trạng thái", "State"),
    "way.receipt": ("Biên nhận đầu tiên", "First receipt"),
    "way.redirected": ("thay cho {code}", "for {code}"),
    "way.more_copies": ("và {count} đơn vị khác (`exchange trace`)", "and {count} more (`exchange trace`)"),
    "way.looks": ("Ai đã tra cứu", "Who looked"),
    "look.search": ("tìm kiếm", "search"),
    "look.trace": ("xem vết xử lý", "trace"),
    "look.export": ("xuất dữ liệu", "export"),
    "look.no_reason": ("không nêu lý do", "no reason given"),
    # Units.
    "units.country": ("Cả nước", "The country"),
    "units.path": ("Vị trí", "Where you are"),
    "units.view": ("Cách xem", "View"),
    "units.tree": ("Đơn vị trực thuộc", "Directly below"),
    "units.by_silent": ("Im lặng lâu nhất", "Silent longest"),
    "units.by_slow": ("Xác nhận chậm nhất", "Slowest to acknowledge"),
    "units.by_waiting": ("Chờ nhiều nhất", "Most waiting"),
    "units.by_busy": ("Trao đổi nhiều nhất", "Busiest"),
    "units.in_1": ("Trao đổi trong 24 giờ", "Exchanging in 24 hours"),
    "units.in_7": ("Trao đổi trong 7 ngày", "Exchanging in 7 days"),
    "units.in_30": ("Trao đổi trong 30 ngày", "Exchanging in 30 days"),
    "units.of": ("{count} trên {all} đơn vị", "{count} of {all} units"),
    "units.silent": ("Im lặng", "Silent"),
    "units.silent_hint": ("không gửi gì trong 30 ngày", "sent nothing in 30 days"),
    "units.unit": ("Đơn vị", "Unit"),
    "units.active": ("Có trao đổi, 30 ngày", "Exchanging, 30 days"),
    "units.sent": ("Gửi: 1 · 7 · 30 ngày", "Sent: 1 · 7 · 30 days"),
    "units.received": ("Nhận: 1 · 7 · 30 ngày", "Received: 1 · 7 · 30 days"),
    "units.last": ("Lần cuối", "Last seen"),
    "units.delay": ("Xác nhận sau", "Acknowledges after"),
    "units.waiting": ("Chưa xác nhận", "Unacknowledged"),
    "units.none_below": ("Không có đơn vị trực thuộc.", "No units below it."),
    "units.unknown": ("Không có đơn vị mang mã này.", "No open unit has this code."),
    "units.as_of": (
        "Tính lúc {at}; được tính lại mỗi phút khi có người xem.",
        "As of {at}; anew each minute that anyone looks.",
    ),
    # Dead letters.
    "dead.period": ("Khoảng thời gian", "Period"),
    "dead.days_1": ("24 giờ", "24 hours"),
    "dead.days_7": ("7 ngày", "7 days"),
    "dead.days_30": ("30 ngày", "30 days"),
    "dead.reason_hint": ("Cần có để mở từng bản ghi", "Needed to open single ones"),
    "dead.code": ("Mã lỗi", "Code"),
    "dead.sender": ("Đơn vị gửi", "Sender"),
    "dead.count": ("Số lượng", "Count"),
    "dead.last": ("Gần nhất", "Latest"),
    "dead.open": ("Mở", "Open"),
    "dead.list": ("Xem danh sách", "List"),
    "dead.none": ("Không có bản gửi nào bị từ chối.", "Nothing was refused."),
    "dead.newest": ("mới nhất trước", "newest first"),
    "dead.gone": ("Không còn được lưu trong Kafka.", "No longer kept in Kafka."),
    "dead.detail": ("Chi tiết:", "Detail:"),
    "dead.decoded": ("Đã giải mã", "Decoded"),
    "dead.raw": ("Dữ liệu gốc ({shown} trên {all} byte)", "Raw ({shown} of {all} bytes)"),
    # History.
    "history.total": ("Tổng số văn bản", "Documents in all"),
    "history.of_total": ("{share} của 14,2 triệu trên Trục quốc gia", "{share} of the national axis's 14.2 million"),
    "history.last": ("Tháng gần nhất", "Latest month"),
    "history.yardstick": ("So với 550.000/tháng", "Beside 550,000 a month"),
    "history.of_month": ("mức của Trục liên thông quốc gia", "what the national axis carries"),
    "history.deliveries": ("Tổng số bản đã giao", "Copies in all"),
    "history.copies": ("Bản giao cho đơn vị nhận", "Copies to recipients"),
    "history.months": ("Theo tháng", "By month"),
    "history.chart": (
        "Văn bản và báo cáo trong {months} tháng; vạch ngang: {yardstick} mỗi tháng",
        "Documents and reports of {months} months; the line: {yardstick} a month",
    ),
    "history.csv": ("Tải CSV", "Download CSV"),
    "history.month": ("Tháng", "Month"),
    "history.documents": ("Văn bản và báo cáo", "Documents and reports"),
    "history.size": ("Tệp đính kèm", "Attachments"),
    "history.year": ("Năm {year}", "Year {year}"),
    "history.nothing": ("Chưa có dữ liệu.", "Nothing yet."),
    "history.days": (
        "Một ngày bắt đầu lúc 07:00 giờ Việt Nam (00:00 UTC).",
        "A day begins at 07:00 in Vietnam (00:00 UTC).",
    ),
    "unit.s": ("{n} giây", "{n} s"),
    "unit.min": ("{n} phút", "{n} min"),
    "unit.h": ("{n} giờ", "{n} h"),
    "unit.d": ("{n} ngày", "{n} days"),
}
"""Key → (Vietnamese, English)."""

_AWAY = {
    "services": "away.services",
    "kafka": "away.kafka",
    "hop": "away.kafka",
    "postgres": "away.postgres",
    "throughput": "away.nothing",
    "trace_store": "away.nothing",
}
"""By the stage of an error's code."""

_DURATIONS = (("unit.d", 86_400), ("unit.h", 3_600), ("unit.min", 60))


class Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **blanks: object) -> str:
        """The text of a key, its blanks filled in."""
        found = TEXTS[key][self._place]
        return found.format(**blanks) if blanks else found

    def away(self, code: str) -> str:
        """What an error of the world means for whoever looks."""
        return self(_AWAY.get(code.partition(".")[0], "away.other"), code=code)

    def level(self, level: int) -> str:
        """The name of a level; 0: unknown."""
        return self(f"level.{int(level) if level in set(Level) else 0}")

    def status(self, code: int) -> str:
        """What a status's code means."""
        return self(f"status.{code if f'status.{code}' in TEXTS else 0}")

    def number(self, value: float, digits: int = 0) -> str:
        """A number with its thousands apart: 1.234,5 in Vietnamese, 1,234.5 in English."""
        english = f"{value:,.{digits}f}"
        return english if self.language == "en" else english.translate(str.maketrans(",.", ".,"))

    def percent(self, part: int, whole: int) -> str:
        """A share, to a tenth of a percent; a dash of nothing."""
        return f"{self.number(100 * part / whole, 1)} %" if whole else "–"

    def megabytes(self, count: int) -> str:
        """Bytes, in megabytes; nothing for none."""
        return f"{self.number(count / 1e6)} MB" if count else ""

    def duration(self, seconds: float) -> str:
        """About how long, in one unit."""
        for key, length in _DURATIONS:
            if seconds >= 2 * length:
                return self(key, n=self.number(seconds / length))
        return self("unit.s", n=self.number(seconds))

    def clock(self, ms: int) -> str:
        """A broker's time, to the second, in Vietnam."""
        return self._at(ms).strftime("%d/%m/%Y %H:%M:%S" if self.language == "vi" else "%Y-%m-%d %H:%M:%S")

    def day(self, ms: int) -> str:
        """A broker's time, to the day, in Vietnam."""
        return self._at(ms).strftime("%d/%m/%Y" if self.language == "vi" else "%Y-%m-%d")

    @staticmethod
    def _at(ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, VIETNAM)
