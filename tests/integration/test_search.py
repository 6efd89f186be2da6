"""Search on the real PostgreSQL: what is found is what a reader of the trace finds by hand, page by page."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet
import pytest

from exchange.errors import Misconfigured, Rejected
from exchange.local.services import Services
from exchange.statements.chain import TAKE_BACK_OPEN
from exchange.views.folding import words
from exchange.views.search import Query, finding, pages, search
from exchange.views.search.below import Part
from exchange.views.search.exporting import COLUMNS, exported
from exchange.views.trace_store import TraceStore, TraceWriter
from tests.support import traces
from tests.support.trace_world import portion_of

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000
FIRST_MS = 1_760_000_000_000
NOW_MS = FIRST_MS + 400 * HOUR_MS
UNITS = ["H26", "H26.21", "H26.21.01", "H260", "H29", "H29.21", "G04"]
SUBJECTS = ["Nghị quyết về chuyển đổi số", "NGHỊ QUYẾT của Hội đồng", "Về việc nghỉ lễ", "Báo cáo quý", "Đề án số 06"]
TYPES = ["CV", "QĐ", "NQ"]


@dataclass
class Lives:
    """Some hundred submissions as the trace tells them, and what became of each copy."""

    events: list[traces.Event] = field(default_factory=list)
    copies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def lives(seed: int, count: int = 300) -> Lives:
    """Documents, their receipts and recalls, what was refused; by the dice."""
    dice, told = random.Random(seed), Lives()
    for offset in range(count):
        sender, append_ms = dice.choice(UNITS), FIRST_MS + dice.randrange(300) * HOUR_MS
        if dice.random() < 0.2:
            code = dice.choice(["signature.invalid", "signature.missing", "recipient.unknown"])
            kind = dice.choice(["document", "status"])
            told.events.append(traces.event(offset, sender, f"r-{offset}", code=code, kind=kind, append_ms=append_ms))
            continue
        recipients = [
            traces.copy(code, dice.randrange(1, 5), dice.choice([1, 1, 1, -1])) for code in dice.sample(UNITS, 2)
        ]
        summary = traces.summary(
            subject=dice.choice(SUBJECTS),
            type=dice.choice(TYPES),
            urgency=dice.choice([0, 0, 1, 4]),
            code=f"{dice.randrange(3)}/{dice.choice(['UBND-VP', 'HĐND'])}",
            issued=20_370 + dice.randrange(80),
        )
        told.events.append(
            traces.accepted(
                offset, sender, f"d-{offset}", [],
                deliveries=recipients, summary=summary, sender_level=dice.randrange(1, 5), append_ms=append_ms,
            )
        )  # fmt: skip
        told.copies[f"d-{offset}"] = [_life(dice, copy, append_ms) for copy in recipients]
    return told


def _life(dice: random.Random, copy: dict[str, Any], append_ms: int) -> dict[str, Any]:
    life = {**copy, "append_ms": append_ms, "state": 8, "receipt_ms": None, "recalled": False}
    if copy["partition"] >= 0:
        life["recalled"] = dice.random() < 0.2
        life["state"] = dice.choice([0, 1, 2, 3, 7 if life["recalled"] else 6])
        if life["state"]:
            life["receipt_ms"] = append_ms + dice.randrange(100) * HOUR_MS
    return life


def statuses(told: Lives) -> list[traces.Event]:
    """What the trace says of the copies' lives, receipts as they came."""
    said: list[traces.Event] = []
    by_id = {event["id"]: event for event in told.events}
    for id_, copies in told.copies.items():
        for copy in copies:
            if copy["recalled"]:
                said.append(_status(by_id[id_], copy, 13, TAKE_BACK_OPEN, copy["append_ms"] + 1))
            if copy["state"] in {1, 2, 3, 6, 7}:
                code = 15 if copy["state"] == 7 else copy["state"]
                said.append(_status(by_id[id_], copy, code, copy["state"], copy["receipt_ms"]))
    return [{**event, "offset": number, "id": f"s-{number}"} for number, event in enumerate(said)]


def _status(document: traces.Event, copy: dict[str, Any], code: int, state: int, ms: int) -> traces.Event:
    return traces.status(0, code, document, copy["recipient"], state, append_ms=ms)


@pytest.fixture(scope="module")
def told() -> Lives:
    return lives(seed=26)


@pytest.fixture(scope="module")
def store(services: Services, told: Lives) -> Iterator[TraceStore]:
    store = TraceStore(services.database_url, "search_test")
    store.prepare()
    values = traces.records(1, told.events) + traces.records(1, statuses(told), "statuses")
    with store.connect() as database:
        TraceWriter(database, "trace").write(portion_of(values))
    yield store
    with psycopg.connect(services.database_url) as database:
        database.execute("DROP SCHEMA search_test CASCADE")


def found(store: TraceStore, query: Query, limit: int = 1_000) -> list[str]:
    """The ids of all pages, in their order."""
    ids: list[str] = []
    cursor = None
    while True:
        page = search(store, query, limit=limit, cursor=cursor, as_of_ms=NOW_MS)
        ids += [one.id for one in page.results]
        cursor = page.cursor
        if cursor is None:
            return ids
        assert len(page.results) == limit


def matches(told: Lives, event: traces.Event, query: Query) -> bool:
    """What the query means, said once more and without an index."""
    summary = event["summary"]
    if query.kind not in {None, event["kind"]} or query.outcome not in {None, event["outcome"]}:
        return False
    if query.id not in {None, event["id"]} or not (query.since_ms or 0) <= event["append_ms"] < (
        query.until_ms or 2**62
    ):
        return False
    if query.sender is not None and not _within(event["sender"], query.sender):
        return False
    if query.rejection is not None and query.rejection not in {event["code"], event["code"].split(".")[0]}:
        return False
    about = (query.subject, query.type, query.code, query.issued_since, query.issued_until, query.urgency)
    if any(value is not None for value in about) and (summary is None or not _summary_matches(summary, query)):
        return False
    if query.sender_level is not None and (event["outcome"], event["sender_level"]) != ("accepted", query.sender_level):
        return False
    if any((query.status, query.unacknowledged_h is not None, query.late_h is not None, query.unreturned)):
        return any(_copy_matches(copy, query) for copy in told.copies.get(event["id"], ()))
    to = query.recipient
    return (to is None or any(_within(copy["recipient"], to) for copy in event["deliveries"])) and (
        query.recipient_level is None or any(copy["level"] == query.recipient_level for copy in event["deliveries"])
    )


def _within(code: str, agencies: tuple[Part, ...]) -> bool:
    return any(code == part.code or (part.is_tree and code.startswith(part.code + ".")) for part in agencies)


def _summary_matches(summary: dict[str, Any], query: Query) -> bool:
    number, _, notation = summary["code"].partition("/")
    return (
        (query.subject is None or set(words(query.subject)) <= set(words(summary["subject"])))
        and query.type in {None, summary["type"]}
        and query.urgency in {None, summary["urgency"]}
        and query.code in {None, summary["code"], number, notation}
        and (query.issued_since or -(2**31)) <= summary["issued"] <= (query.issued_until or 2**31)
    )


def _copy_matches(copy: dict[str, Any], query: Query) -> bool:
    names = {"waiting": 0, "refused": 2, "accepted": 3, "finished": 6, "withdrawn": 7, "undeliverable": 8}
    waits_h = (NOW_MS - copy["append_ms"]) / HOUR_MS
    took_h = None if copy["receipt_ms"] is None else (copy["receipt_ms"] - copy["append_ms"]) / HOUR_MS
    return (
        (query.status is None or copy["state"] == names[query.status])
        and (query.recipient is None or _within(copy["recipient"], query.recipient))
        and (query.recipient_level is None or copy["level"] == query.recipient_level)
        and (query.unacknowledged_h is None or (copy["state"] == 0 and waits_h > query.unacknowledged_h))
        and (query.late_h is None or (took_h is not None and took_h > query.late_h))
        and (not query.unreturned or (copy["recalled"] and copy["state"] != 7))
    )


CHOICES: dict[str, list[Any]] = {
    "subject": ["nghi quyet", "Nghị quyết", "số", "lễ nghi", "bao cao", "06"],
    "code": ["1/UBND-VP", "HĐND", "2"],
    "sender": [
        (Part("H26"),),
        (Part("H26", is_tree=True),),
        (Part("H26.21", is_tree=True),),
        (Part("H29"), Part("G04")),
    ],
    "recipient": [(Part("H26"),), (Part("H26", is_tree=True),), (Part("H29", is_tree=True), Part("G04"))],
    "sender_level": [1, 2, 3, 4],
    "recipient_level": [1, 4],
    "type": TYPES,
    "urgency": [0, 1, 4],
    "kind": ["document", "status"],
    "outcome": ["accepted", "rejected"],
    "rejection": ["signature", "signature.invalid", "recipient.unknown"],
    "status": ["waiting", "refused", "accepted", "finished", "withdrawn", "undeliverable"],
    "since_ms": [FIRST_MS + 100 * HOUR_MS],
    "until_ms": [FIRST_MS + 200 * HOUR_MS],
    "issued_since": [20_380],
    "issued_until": [20_420],
    "unacknowledged_h": [120, 300],
    "late_h": [10, 90],
    "unreturned": [True],
}


def test_every_filter_and_many_together_find_what_a_reader_of_the_trace_finds(store: TraceStore, told: Lives) -> None:
    dice = random.Random(5)
    queries = [Query()] + [Query(**{name: choice}) for name, choices in CHOICES.items() for choice in choices]
    for _ in range(150):
        names = dice.sample(list(CHOICES), dice.choice([2, 2, 2, 3]))
        queries.append(Query(**{name: dice.choice(CHOICES[name]) for name in names}))
    fruitful = 0
    for query in queries:
        expected = [event for event in told.events if matches(told, event, query)]
        expected.sort(key=lambda event: (event["append_ms"], event["offset"]), reverse=True)
        assert found(store, query) == [event["id"] for event in expected], query
        fruitful += bool(expected)
    assert fruitful > len(CHOICES)


@pytest.mark.parametrize("walked", [1, 40, 10_000])
def test_pages_hold_each_result_once_however_they_are_found(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    monkeypatch.setattr(finding, "WALKED", walked)
    for query in (Query(), Query(subject="nghi quyet"), Query(unacknowledged_h=120), Query(outcome="rejected")):
        whole = found(store, query)
        assert len(whole) > 20
        assert [found(store, query, limit) for limit in (7, len(whole))] == [whole] * 2


def test_with_and_without_marks(store: TraceStore) -> None:
    ids = found(store, Query(subject="nghi quyet"))
    assert ids
    for spelling in (
        "Nghị quyết",
        "NGHỊ QUYẾT",
        "nghị QUYET",
        "Nghi\u0323 quye\u0302\u0301t",
        "quyết nghị",
        "ngh* quy*",
    ):
        assert found(store, Query(subject=spelling)) == ids


def test_what_is_shown_of_a_result(store: TraceStore, told: Lives) -> None:
    event = next(event for event in told.events if event["outcome"] == "accepted")
    [one] = search(store, Query(id=event["id"]), limit=5).results
    summary, copies = event["summary"], told.copies[event["id"]]
    assert (one.subject, one.code, one.type, one.urgency) == tuple(
        summary[name] for name in ("subject", "code", "type", "urgency")
    )
    assert (one.source_topic, one.partition, one.source_offset) == ("documents", 1, event["offset"])
    assert one.recipients == sorted(copy["recipient"] for copy in copies)
    assert one.acknowledged == sum(copy["receipt_ms"] is not None for copy in copies)
    assert one.undeliverable == sum(copy["partition"] < 0 for copy in copies)


HOSTILE = [
    "'; DROP SCHEMA search_test CASCADE; --",
    "\\",
    "%s %(id)s {0}",
    "a' | 'b",
    "' & !'x",
    "<->",
    "*" * 400 + "a",
    "𝕊ﷺ",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_finds_nothing_and_harms_nothing(store: TraceStore, text: str) -> None:
    for query in (Query(id=text), Query(code=text), Query(rejection=text), Query(sender=(Part(text, is_tree=True),))):
        assert found(store, query) == []
    assert found(store, Query(recipient=(Part(text),), unreturned=True)) == []
    if words(text):
        assert found(store, Query(subject=text)) == []
    assert found(store, Query(id="d-1")) or found(store, Query(id="r-1"))


def test_a_search_that_takes_too_long_is_refused(store: TraceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_WALK", "SELECT pg_sleep(60) LIMIT %(most)s")
    monkeypatch.setattr(finding, "TIMEOUT_MS", 50)
    with pytest.raises(Rejected, match=r"search.too_broad"):
        search(store, Query(), limit=1)


@pytest.mark.parametrize("limit", [0, 1_001])
def test_a_page_has_its_limits(store: TraceStore, limit: int) -> None:
    with pytest.raises(Rejected, match=r"search.range"):
        search(store, Query(), limit=limit)


def test_files_hold_what_the_pages_hold(store: TraceStore, tmp_path: Path) -> None:
    query = Query(subject="nghi quyet")
    expected = found(store, query)
    files = {ending: tmp_path / f"found{ending}" for ending in (".csv", ".json", ".parquet")}
    for path in files.values():
        with exported(path) as write:
            for page in pages(store, query, size=7, as_of_ms=NOW_MS):
                write(page.results)
            assert not path.exists(), "it has its name only once it is whole"
    with files[".csv"].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    objects = json.loads(files[".json"].read_text(encoding="utf-8"))
    table = pyarrow.parquet.read_table(files[".parquet"])
    assert [row["id"] for row in rows] == [one["id"] for one in objects] == table["id"].to_pylist() == expected
    assert list(rows[0]) == list(objects[0]) == table.column_names == [column.name for column in COLUMNS]
    assert rows[0]["subject"] == objects[0]["subject"] == table["subject"][0].as_py()
    assert objects[0]["submitted"] == table["submitted"][0].as_py().isoformat() == rows[0]["submitted"]
    assert list(tmp_path.glob("*.part")) == []


def test_no_text_in_a_spreadsheet_begins_a_formula(store: TraceStore, tmp_path: Path) -> None:
    [one] = search(store, Query(), limit=1).results
    with exported(tmp_path / "f.csv") as write:
        write([replace(one, subject='=HYPERLINK("http://x")', sender="+1", code="-2", id="@x")])
    text = (tmp_path / "f.csv").read_text(encoding="utf-8-sig")
    assert all(safe in text for safe in ('"\'=HYPERLINK(""http://x"")"', ",'+1,", ",'-2,", ",'@x,"))


def test_a_file_that_was_not_finished_is_not_there(store: TraceStore, tmp_path: Path) -> None:
    for ending in (".csv", ".json", ".parquet"):
        with pytest.raises(AttributeError), exported(tmp_path / f"f{ending}") as write:
            write([*search(store, Query(), limit=3).results, None])  # type: ignore[list-item]
    with pytest.raises(Misconfigured, match=r"none of .csv, .json, .parquet"), exported(tmp_path / "f.xls"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_was_erased_is_not_found_by_what_it_said(services: Services) -> None:
    store = TraceStore(services.database_url, "search_erased")
    store.prepare()
    said = traces.summary(subject="Chuyện riêng của Nguyễn", code="77/RIENG", type="QĐ", issued=20_400)
    document = traces.accepted(0, "H26", "d-1", ["H29"], summary=said)
    other = traces.accepted(1, "H26", "d-2", ["H29"], summary=said)
    erased = traces.event(2, "H26", "d-1", outcome="erased", code="", thread=document["thread"], kind="document")
    queries = [Query(subject="nguyen"), Query(code="77/RIENG"), Query(code="RIENG"), Query(type="QĐ")]
    try:
        with store.connect() as database:
            writer = TraceWriter(database, "trace")
            writer.write(portion_of(traces.records(1, [document, other])))
            assert [found(store, query) for query in queries] == [["d-2", "d-1"]] * 4
            writer.write(portion_of(traces.records(1, [erased]), 1))
            assert [found(store, query) for query in queries] == [["d-2"]] * 4
            assert found(store, Query(sender=(Part("H26"),), outcome="accepted")) == ["d-2", "d-1"]
            left = database.execute(
                "SELECT terms::text FROM events WHERE id = 'd-1' AND outcome = 'accepted'"
            ).fetchone()
            assert left == ("'RH29' 'SH26' 'd2025-11-08' 'l2' 'rH29.' 'sH26.' 'v2'",)
    finally:
        with psycopg.connect(services.database_url) as database:
            database.execute("DROP SCHEMA search_erased CASCADE")
