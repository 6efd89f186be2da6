"""Searching five million rows of the trace as an auditor does: how long a page takes.

The rows are those of ten months at one document in 20 s: documents between the real units of 2022, their copies and
receipts as `bench.given.Nation` has them, recalls, rejections. Subjects are made of words as often as words are (Zipf),
and their terms by the projection's own function; SQL multiplies them. What is asked is each kind of filter, alone and
with others, of things that are there and of things that aren't.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from bench.results import Result, result, told
from bench.world import SEED, BenchWorld
from exchange.agencies import Directory, DirectoryView
from exchange.local.home import Home
from exchange.local.nation import agencies
from exchange.local.postgres import PostgresServer
from exchange.statements.document import TYPES
from exchange.views.search import LIMIT, Query, below, search
from exchange.views.trace_store import TraceStore
from exchange.views.trace_terms import terms_of

DOCUMENTS, STATUSES_EACH, SUBJECTS = 1_316_000, 2, 20_000
"""Of a document come 3.8 events, as in `bench.given.Nation`: itself, and two receipts for each of 1.4 copies."""
FIRST_MS = 1_735_689_600_000
SPACING_MS = 20_000
ROUNDS = 3
P95_MS_MAX = 100.0

_WORDS = (
    "về việc của các và thực hiện kế hoạch công tác báo cáo tình hình đề nghị góp ý dự thảo nghị quyết quyết định "
    "thông tư hướng dẫn triển khai tổ chức hội nghị tập huấn tăng cường quản lý nhà nước lĩnh vực đất đai môi trường "
    "tài nguyên giáo dục đào tạo y tế phòng chống dịch bệnh thiên tai cháy nổ an toàn giao thông xây dựng nông thôn "
    "mới chuyển đổi số cải cách hành chính thủ tục rà soát danh mục phê duyệt quyết toán đầu tư công giải ngân vốn "
    "ngân sách bổ sung dự toán chi thường xuyên lương biên chế tuyển dụng bổ nhiệm miễn nhiệm khen thưởng kỷ luật "
    "thanh tra kiểm tra giải quyết khiếu nại tố cáo tiếp dân cử tri kiến nghị đại biểu quốc hội hội đồng nhân dân "
    "ủy ban mặt trận đoàn thể thanh niên phụ nữ nông dân cựu chiến binh thương mại công nghiệp năng lượng điện lực "
    "thủy lợi lâm nghiệp thủy sản chăn nuôi thú y trồng trọt bảo vệ thực vật du lịch văn hóa thể thao gia đình trẻ em "
    "bảo hiểm xã hội việc làm lao động người có công dân tộc tôn giáo quốc phòng an ninh trật tự tư pháp hộ tịch"
)
_VOCABULARY = _WORDS.split()

_FREQUENT_TYPES = {"CV": 40, "BC": 10, "QĐ": 10}
_FILE = Path(__file__).with_suffix(".sql")
_SUBJECTS = "CREATE TEMPORARY TABLE subjects (n int, type text, urgency int, code text, subject text, terms tsvector)"
_UNITS = "CREATE TEMPORARY TABLE units (n int, code text, level int)"
_INDEX = "SELECT indexdef FROM pg_indexes WHERE schemaname = %s AND indexname NOT LIKE '%%pkey'"

Kinds = dict[str, Query]


def measure(_: BenchWorld | None = None, documents: int = DOCUMENTS) -> Iterator[Result]:
    """On a PostgreSQL of its own; the directory is that of the nation."""
    view, dice = nation(), random.Random(SEED)
    with database() as store:
        told(f"making the trace of {documents:,} documents")
        subjects = [summary(dice) for _ in range(SUBJECTS)]
        rows = fill(store, subjects, view, documents)
        now_ms = FIRST_MS + documents * SPACING_MS
        told(f"{rows:,} rows; searching")
        spent: dict[str, list[float]] = {}
        for _round in range(ROUNDS):
            for name, query in _asked(store, subjects, view, dice, now_ms).items():
                began = time.perf_counter()
                page = search(store, query, limit=LIMIT, as_of_ms=now_ms)
                spent.setdefault(name, []).append(1e3 * (time.perf_counter() - began))
                if name.startswith("any") and page.cursor is not None:  # and on to a later page
                    began = time.perf_counter()
                    search(store, query, limit=LIMIT, cursor=page.cursor)
                    spent.setdefault(f"{name}, next page", []).append(1e3 * (time.perf_counter() - began))
    every = sorted(ms for values in spent.values() for ms in values)
    runs = [
        {"search": name, "median_ms": round(statistics.median(values), 1), "most_ms": round(max(values), 1)}
        for name, values in sorted(spent.items(), key=lambda item: -max(item[1]))
    ]
    for run in runs:
        told(f"{run['most_ms']:8.1f} {run['median_ms']:8.1f}  {run['search']}")
    p95 = every[int(0.95 * len(every))]
    head = {"rows": rows, "searches": len(every), "median_ms": round(statistics.median(every), 1)}
    yield result("search.page.p95", [p95], "ms", at_most=P95_MS_MAX, runs=[head, *runs])


def nation() -> DirectoryView:
    """The directory of 2022."""
    directory = Directory()
    directory.apply(0, agencies(date(2020, 1, 1)))
    return directory.latest()


@contextmanager
def database() -> Iterator[TraceStore]:
    """A PostgreSQL of its own, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as folder:
        home = Home(Path(folder) / "home")
        home.create()
        home.settle(1)
        server = PostgresServer(home)
        try:
            server.start()
            server.wait_ready()
            yield TraceStore(server.url)
        finally:
            server.stop()


def summary(dice: random.Random) -> dict[str, Any]:
    """A document's summary; words are as frequent as one over their rank."""
    weights = [1 / rank for rank in range(1, len(_VOCABULARY) + 1)]
    notation = f"{dice.choice(['UBND', 'SYT', 'SGD', 'BTC', 'VPCP'])}-{dice.choice(['VP', 'KT', 'NC', 'TH'])}"
    return {
        "type": dice.choices(list(TYPES), [_FREQUENT_TYPES.get(name, 1) for name in TYPES])[0],
        "urgency": dice.choices(range(5), [90, 6, 3, 0.9, 0.1])[0],
        "code": f"{dice.randrange(1, 4000)}/{notation}",
        "subject": " ".join(dice.choices(_VOCABULARY, weights, k=dice.randrange(8, 22))),
        "issued": 2**31 - 1,  # its term is made with the document
    }


def fill(
    store: TraceStore, subjects: list[dict[str, Any]], view: DirectoryView, documents: int, first_ms: int = FIRST_MS
) -> int:
    """Make the rows, then the indexes: as a store that grew row by row, but sooner."""
    store.prepare()
    with store.connect() as connection:
        connection.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '256MB'; SET synchronous_commit = off")
        indexes = [row[0] for row in connection.execute(_INDEX, [store.schema])]
        for name in [text.split()[2] for text in indexes]:
            connection.execute(f"DROP INDEX {name}".encode())
        units = [(n, unit.code, int(unit.level)) for n, unit in enumerate(view.agencies()) if unit.valid_to is None]
        _copy(connection, _UNITS, "units", ((n, code, level) for n, (_, code, level) in enumerate(units)))
        _copy(connection, _SUBJECTS, "subjects", (_subject_row(n, one) for n, one in enumerate(subjects)))
        connection.execute("ANALYZE subjects; ANALYZE units; SELECT setseed(0.2022)")
        values = {"documents": documents, "units": len(units), "subjects": len(subjects), "first_ms": first_ms}
        values |= {"spacing_ms": SPACING_MS, "statuses": STATUSES_EACH, "now_ms": first_ms + documents * SPACING_MS}
        psycopg.ClientCursor(connection).execute(_FILE.read_bytes(), values)
        told("indexing")
        for text in indexes:
            connection.execute(text.encode())
        row = connection.execute("SELECT count(*) FROM events").fetchone()
    with psycopg.connect(store.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return int(row[0]) if row else 0


def _copy(connection: Connection[Any], table: str, name: str, rows: Iterator[tuple[Any, ...]]) -> None:
    connection.execute(table.encode())
    with connection.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)


def _subject_row(number: int, summary: dict[str, Any]) -> tuple[Any, ...]:
    event = {"status": None, "kind": "document", "outcome": "accepted", "sender": "", "sender_level": 0}
    terms = terms_of({**event, "deliveries": [], "summary": summary})
    return (number, *(summary[name] for name in ("type", "urgency", "code", "subject")), terms)


def _asked(
    store: TraceStore, subjects: list[dict[str, Any]], view: DirectoryView, dice: random.Random, now_ms: int
) -> Kinds:
    """What auditors ask: each kind of filter alone and with others, of things that are there."""
    with store.connect() as connection:
        document = connection.execute(
            "SELECT id, sender, code, subject, issued, append_ms FROM documents OFFSET %s LIMIT 1",
            [dice.randrange(9_999)],
        ).fetchone()
    if document is None:
        raise RuntimeError("no documents were made")
    id_, sender, code, subject, issued, append_ms = document
    province = below.tree(view, f"H{dice.randrange(17, 60)}")
    ministry = below.tree(view, f"G{dice.randrange(10, 20)}")
    unit = below.agency(view, dice.choice(list(view.agencies())).code)
    one, two = dice.sample(_VOCABULARY[:20], 2)
    rare = dice.sample(_VOCABULARY[-60:], 2)
    day_ms = 86_400_000
    return {
        "any": Query(),
        "any of a year ago": Query(until_ms=FIRST_MS + 40 * day_ms),
        "id": Query(id=id_),
        "number/notation": Query(code=code),
        "notation, sender's tree": Query(code=code.partition("/")[2], sender=province),
        "number, type, month of issue": Query(
            code=code.partition("/")[0], type="CV", issued_since=issued - 15, issued_until=issued + 15
        ),
        "any of two common words": Query(subject=f"{one} {two}"),
        "two rare words": Query(subject=" ".join(rare)),
        "a word's beginning": Query(subject=f"{rare[0][:2]}* {one}"),
        "a whole subject": Query(subject=" ".join(subject.split()[:12])),
        "rare words, common type, recipient's level": Query(subject=rare[0], type="CV", recipient_level=4),
        "a word, a week, long ago": Query(subject=one, since_ms=append_ms, until_ms=append_ms + 7 * day_ms),
        "sender": Query(sender=below.agency(view, sender)),
        "recipient": Query(recipient=unit),
        "any from a province": Query(sender=province),
        "from a province to a ministry": Query(sender=province, recipient=ministry),
        "to a province, most urgent": Query(recipient=province, urgency=4),
        "rare type, urgent, central": Query(type="PG", urgency=3, sender_level=1),
        "any between levels": Query(sender_level=4, recipient_level=1),
        "rejected": Query(outcome="rejected"),
        "rejection code, sender": Query(rejection="certificate.revoked", sender=province),
        "rejected in a stage, days": Query(
            rejection="signature", since_ms=now_ms - 90 * day_ms, until_ms=now_ms - 80 * day_ms
        ),
        "any not acknowledged in 48 h": Query(unacknowledged_h=48),
        "not acknowledged, recipient's tree": Query(unacknowledged_h=48, recipient=province),
        "not acknowledged, urgent, sender": Query(unacknowledged_h=4, urgency=2, sender=province),
        "not acknowledged by one unit": Query(unacknowledged_h=48, recipient=unit),
        "any acknowledged late": Query(late_h=48),
        "acknowledged very late": Query(late_h=280),
        "acknowledged late, words": Query(late_h=48, subject=f"{one} {rare[0]}"),
        "any recalled, not confirmed": Query(unreturned=True),
        "recalled, not confirmed, tree": Query(unreturned=True, sender=province),
        "refused, long ago": Query(status="refused", until_ms=append_ms + 20 * day_ms),
        "refused by one unit": Query(status="refused", recipient=unit),
        "withdrawn, in a tree": Query(status="withdrawn", recipient=ministry),
        "undeliverable, tree": Query(status="undeliverable", recipient=province),
        "any finished, type": Query(status="finished", type="QĐ"),
        "waiting, central": Query(status="waiting", recipient_level=1),
        "nothing": Query(subject="xyzzy"),
        "nothing of common things": Query(subject=one, type="PG", urgency=4, recipient=ministry, sender=ministry),
    }
