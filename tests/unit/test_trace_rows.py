"""What trace records make of the trace store: pure, without a database."""

from __future__ import annotations

import json

import pytest

from exchange.errors import InvariantBroken
from exchange.statements import schema
from exchange.statements.chain import CHANGE_OPEN, TAKE_BACK_OPEN, UNDELIVERABLE, WAITING
from exchange.views.trace_path import Document, Entry, Path
from exchange.views.trace_rebuild import Rebuilt, TableDigest
from exchange.views.trace_rows import COLUMNS, Change, CopyKey, Portion
from exchange.views.trace_schema import TABLES, layout_digest
from tests.support import traces
from tests.support.traces import G04, H01, H26

DOCUMENT = traces.accepted(5, H26, "d-1", [G04, H01])


def portion_of(*events: traces.Event, topic: str = "documents") -> Portion:
    portion = Portion()
    for offset, record in enumerate(traces.records(3, events, topic)):
        portion.add(3, 40 + offset, record)
    return portion


def rows_of(portion: Portion, table: str) -> list[dict[str, object]]:
    return [dict(zip(COLUMNS[table], row, strict=True)) for row in portion.rows(table)]


def test_every_submission_gets_one_event_row_with_its_coordinates() -> None:
    portion = portion_of(DOCUMENT, traces.event(6, "?", "d-2"))
    first, second = rows_of(portion, "events")
    assert (first["source_topic"], first["partition"], first["source_offset"]) == ("documents", 3, 5)
    assert (first["trace_offset"], first["trace_index"], second["trace_index"]) == (40, 0, 1)
    assert (first["directory_offset"], first["worker"]) == (7, "w-1")
    assert (second["outcome"], second["code"], second["sender"]) == ("rejected", "avro.truncated", "?")
    assert second["status_code"] is None
    assert (portion.events, portion.next_offsets) == (2, {3: 41})


def test_only_accepted_documents_and_reports_get_a_document_row() -> None:
    report = traces.accepted(6, H26, "r-1", [G04], kind="report", summary=None)
    duplicate = traces.accepted(7, H26, "d-1", [], outcome="duplicate", summary=None, accepted_offset=5)
    portion = portion_of(DOCUMENT, report, duplicate, traces.status(8, 1, DOCUMENT, G04, 1))
    rows = rows_of(portion, "documents")
    assert [(row["id"], row["kind"], row["business"]) for row in rows] == [
        ("d-1", "document", "new"),
        ("r-1", "report", None),
    ]


def test_copies_begin_waiting_or_undeliverable_and_those_of_statuses_have_no_state() -> None:
    closed = traces.accepted(6, H26, "d-2", [], deliveries=[traces.copy(G04, partition=-1)])
    rows = rows_of(portion_of(DOCUMENT, closed, traces.status(7, 1, DOCUMENT, G04, 1)), "deliveries")
    assert [(row["recipient"], row["state"]) for row in rows] == [
        (G04, WAITING),
        (H01, WAITING),
        (G04, UNDELIVERABLE),
        (H26, None),
    ]


def test_of_several_statuses_the_last_state_and_the_first_receipt_are_kept() -> None:
    portion = portion_of(
        traces.status(9, 13, DOCUMENT, G04, TAKE_BACK_OPEN),
        traces.status(11, 1, DOCUMENT, G04, 1 | TAKE_BACK_OPEN),
        traces.status(12, 16, DOCUMENT, G04, 1),
    )
    first_ms = traces.status(11, 1, DOCUMENT, G04, 1)["append_ms"]
    expected = Change(state=1, request=None, receipt_ms=first_ms, status_code=16, status_ms=first_ms + 1)
    expected.recalled_ms = first_ms - 2
    assert portion.changes == {CopyKey(DOCUMENT["thread"], H26, "d-1", G04): expected}


def test_a_request_is_kept_until_a_status_says_the_state() -> None:
    recall = traces.follow_up("recall", 8, "c-1", DOCUMENT, [G04, H01])
    update = traces.follow_up("update", 9, "c-2", DOCUMENT, [H01])
    recalled_ms = recall["append_ms"]
    portion = portion_of(recall, update, traces.status(10, 15, DOCUMENT, G04, 7))
    assert portion.changes[CopyKey(DOCUMENT["thread"], H26, "d-1", H01)] == Change(
        request=TAKE_BACK_OPEN, recalled_ms=recalled_ms
    )
    assert portion.changes[CopyKey(DOCUMENT["thread"], H26, "d-1", G04)].request is None
    replacement = portion_of(traces.follow_up("replacement", 8, "c-1", DOCUMENT, [G04]))
    assert replacement.changes[CopyKey(DOCUMENT["thread"], H26, "d-1", G04)].request == CHANGE_OPEN


def test_an_erasure_blanks_what_was_said_before_it() -> None:
    erased = traces.event(7, H26, "d-1", outcome="erased", code="document.erased", thread=f"{H26}/d-1")
    portion = portion_of(DOCUMENT, erased, topic="directory")
    assert portion.blanks == [(f"{H26}/d-1", H26, "d-1", 3, 40, 1)]
    assert [row["outcome"] for row in rows_of(portion, "events")] == ["accepted", "erased"]
    assert len(rows_of(portion, "documents")) == 1


def test_a_record_in_another_partition_than_its_sources_is_our_bug() -> None:
    with pytest.raises(InvariantBroken, match="source partition 3 in partition 2"):
        Portion().add(2, 0, traces.records(3, [DOCUMENT])[0])


@pytest.mark.parametrize("damage", [b"", b"\xc3\x01", traces.records(3, [DOCUMENT])[0][:-1], b"{}" * 10])
def test_a_record_that_cannot_be_read_is_our_bug(damage: bytes) -> None:
    with pytest.raises(InvariantBroken, match="can't be read"):
        Portion().add(3, 0, damage)


def test_a_record_of_another_schema_is_our_bug() -> None:
    fields = {"partition": 3, "covers": [], "claims": 0, "carried": [], "puts": [], "moves": [], "forgets": []}
    other = schema("changelog").encode(fields)
    with pytest.raises(InvariantBroken, match="changelog among the trace"):
        Portion().add(3, 0, other)


def test_a_layout_is_its_sql_without_comments_and_white_space() -> None:
    assert layout_digest("CREATE  TABLE a\n(b int); -- why\n") == layout_digest("CREATE TABLE a (b int);")
    assert layout_digest("CREATE TABLE a (b int);") != layout_digest("CREATE TABLE a (c int);")


def test_differences_name_the_tables() -> None:
    before = {table: TableDigest(1, "a" * 64) for table in TABLES}
    after = before | {"events": TableDigest(2, "b" * 64)}
    assert Rebuilt(1, before, before).differences() == []
    assert Rebuilt(1, None, before).differences() == []
    assert Rebuilt(1, before, after).differences() == ["events: 1 rows (aaaaaaaaaaaa), 2 rows (bbbbbbbbbbbb)"]


def test_a_path_is_json() -> None:
    entry = Entry(
        "documents", 0, 1, 2, "accepted", "", "document", H26, True, "d-1", f"{H26}/d-1", None, -1, 0, 0, 0, 0, "w"
    )
    document = Document(entry, None, ())
    path = Path("d-1", H26, f"{H26}/d-1", document, (), (), (), (), (), True)
    assert json.loads(path.to_json())["document"]["entry"]["source_offset"] == 1
