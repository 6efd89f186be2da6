"""The trace store on the real Kafka and PostgreSQL: every event once, whatever dies; equal after a rebuild."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from exchange.backbone.clients import transactional_producer
from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.local.services import Services
from exchange.statements.chain import TAKE_BACK_OPEN, WAITING, ask
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_rebuild import compare, fingerprint
from exchange.views.trace_store import TraceStore, TraceWriter
from exchange.views.tracing import Ambiguous, summary, trace
from tests.support import traces
from tests.support.trace_world import WITHIN_S, World, portion_of, produce, random_life, the_path, world_of
from tests.support.traces import G04, H01, H26, accepted, event, follow_up

pytestmark = pytest.mark.integration


@pytest.fixture
def world(services: Services) -> Iterator[World]:
    world = world_of(services)
    yield world
    with psycopg.connect(services.database_url) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {world.store.schema} CASCADE".encode())


DOCUMENT = accepted(0, H26, "d-1", [G04, H01])


def test_the_way_of_a_document(world: World) -> None:
    repeat = event(1, H26, "d-1", outcome="duplicate", code="", accepted_offset=0, thread=DOCUMENT["thread"])
    forged = event(2, H26, "d-1", code="signature.invalid")
    recall = follow_up("recall", 3, "c-1", DOCUMENT, [H01])
    world.produce(2, [DOCUMENT, repeat, forged])
    world.produce(2, [traces.status(0, 1, DOCUMENT, G04, 1), traces.status(1, 3, DOCUMENT, G04, 3)], "statuses")
    world.produce(2, [recall])
    refused = event(2, H01, "s-9", code="status.illegal_transition", kind="status", thread=DOCUMENT["thread"])
    world.produce(2, [refused, traces.status(3, 15, DOCUMENT, H01, 7)], "statuses")
    assert world.projection().catch_up() == 8

    path = the_path(world.store, "d-1")
    assert path.document is not None
    assert path.document.entry.source_offset == 0
    assert path.document.entry.sha256 == DOCUMENT["sha256"].hex()
    assert path.document.summary is not None
    assert path.document.summary.subject == DOCUMENT["summary"]["subject"]
    by_recipient = {copy.recipient: copy for copy in path.document.deliveries}
    assert (by_recipient[G04].state, by_recipient[G04].status_code) == (3, 3)
    assert by_recipient[G04].first_receipt_ms == traces.status(0, 1, DOCUMENT, G04, 1)["append_ms"]
    assert (by_recipient[H01].state, by_recipient[H01].is_acknowledged) == (7, True)
    assert [entry.accepted_offset for entry in path.duplicates] == [0]
    assert [entry.code for entry in path.rejections] == ["signature.invalid"]
    assert [(step.status_code, step.recipient, step.state) for step in path.steps] == [
        (1, G04, 1),
        (3, G04, 3),
        (15, H01, 7),
    ]
    assert path.steps[0].reason == "vì lý do\nhai dòng"
    assert [document.entry.id for document in path.related] == ["c-1"]
    assert [entry.code for entry in path.others] == ["status.illegal_transition"]
    assert path.is_complete
    assert trace(world.store, "s-1") == path, "a status leads to the document that it is about"
    assert the_path(world.store, "c-1").related[0].entry.id == "d-1"
    assert trace(world.store, "d-1", G04) is None


def test_the_books(world: World) -> None:
    national = accepted(0, G04, "n", [], sender_level=1, deliveries=[traces.copy(H26), traces.copy(H01, level=4)])
    closed = accepted(1, H26, "d", [], deliveries=[traces.copy(G04, level=1), traces.copy(H01, 4, -1)])
    world.produce(0, [national, closed, event(2, "?", "?"), event(3, "?", "?", code="record.too_large")])
    world.produce(0, [traces.status(0, 1, national, H26, 1), traces.status(1, 2, national, H26, 2)], "statuses")
    world.projection().catch_up()
    counts = summary(world.store)
    assert counts.outcomes == {"accepted": 4, "rejected": 2}
    assert counts.accepted == {"document": 2, "status": 2}
    assert counts.rejections == {"avro.truncated": 1, "record.too_large": 1}
    assert counts.levels == {(1, 2): 1, (1, 4): 1, (2, 1): 1}
    assert (counts.acknowledged, counts.waiting, counts.undeliverable) == (1, 2, 1)
    assert counts.delivered == sum(counts.levels.values())


def test_what_was_not_committed_is_not_stored(world: World) -> None:
    out = transactional_producer(world.base, f"test-{world.topic}")
    out.init_transactions(WITHIN_S)
    for offset in range(6):
        out.begin_transaction()
        produce(out, world.topic, 0, traces.records(0, [accepted(offset, H26, f"d-{offset}", [G04])]))
        if offset % 2:
            out.abort_transaction(WITHIN_S)
        else:
            out.commit_transaction(WITHIN_S)
    assert world.projection().catch_up() == 3
    assert [trace(world.store, f"d-{offset}") is not None for offset in range(6)] == [True, False] * 3
    assert world.projection().catch_up() == 0


def test_the_same_portion_again_changes_nothing(world: World) -> None:
    world.store.prepare()
    portion = portion_of(traces.records(1, [DOCUMENT]))
    with world.store.connect() as first, world.store.connect() as second:
        one, other = TraceWriter(first, world.topic), TraceWriter(second, world.topic)
        one.write(portion)
        before = fingerprint(world.store)
        with pytest.raises(Unavailable, match=r"trace_store.moved"):
            other.write(portion)
        later = portion_of(traces.records(1, [accepted(1, H26, "d-2", [G04])]), 1)
        TraceWriter(second, world.topic).write(later)
        with pytest.raises(Unavailable, match=r"trace_store.moved"):
            one.write(later)
    assert before["events"].rows == 1
    assert world.count("events") == 2


@pytest.mark.parametrize("seed", range(6))
def test_portions_may_be_cut_anywhere(world: World, seed: int) -> None:
    values, states = random_life(seed)
    stores = [world.store, TraceStore(world.store.database_url, f"{world.store.schema}_b")]
    for store, size in zip(stores, (1, len(values)), strict=True):
        store.prepare()
        with store.connect() as database:
            writer = TraceWriter(database, world.topic)
            for start in range(0, len(values), size):
                writer.write(portion_of(values[start : start + size], start))
    assert compare(*stores) == []
    with stores[1].connect() as database:
        found = database.execute(
            "SELECT m.id, d.recipient, d.state FROM deliveries d "
            "JOIN documents m USING (source_topic, partition, source_offset)"
        ).fetchall()
        database.execute(f"DROP SCHEMA {stores[1].schema} CASCADE".encode())
    assert {(statement_id, recipient): state for statement_id, recipient, state in found} == states


def test_sql_opens_requests_as_the_chain_does(world: World) -> None:
    world.store.prepare()
    query = "SELECT s, r, asked(s, r) FROM generate_series(0, 63) s, unnest(ARRAY[16, 32]) r"
    with world.store.connect() as database:
        rows = database.execute(query).fetchall()
    for state, request, after in rows:
        try:
            expected = ask(state, request)
        except Rejected:
            expected = state
        assert after == expected, (state, request)


HOSTILE = [
    r"\N",
    r"\.",
    "'; DROP SCHEMA trace_v1 CASCADE; --",
    "%s%(id)s{0}",
    '","\\"',
    "\ufffd\U0001f4a3",
    "ﷺ" * 64,
    " ",
]


def test_hostile_text_is_stored_as_it_is(world: World) -> None:
    world.produce(0, [event(n, text, text, thread=text, code=text) for n, text in enumerate(HOSTILE)])
    world.projection().catch_up()
    for text in HOSTILE:
        path = the_path(world.store, text, text)
        assert (path.document, path.sender, path.thread) == (None, text, text)
        assert [(entry.id, entry.code) for entry in path.rejections] == [(text, text)]


def test_numbers_as_large_as_the_wire_allows_are_stored(world: World) -> None:
    extreme = traces.summary(issued=-(2**31), due=2**31 - 1, urgency=2**31 - 1, bytes=2**63 - 1, attachments=2**31 - 1)
    world.produce(0, [accepted(0, H26, "d", [G04], append_ms=2**63 - 1, summary=extreme)])
    world.projection().catch_up()
    document = the_path(world.store, "d").document
    assert document is not None
    assert document.summary is not None
    assert (document.summary.issued, document.summary.due) == (-(2**31), 2**31 - 1)


def test_a_national_document_with_all_receipts_and_its_recall(world: World) -> None:
    communes = [f"{n % 1000:03}.{n // 1000:02}.00.H01" for n in range(10_599)]
    national = accepted(0, G04, "national", [], deliveries=[traces.copy(code, level=4) for code in communes])
    world.produce(3, [national])
    world.produce(3, [traces.status(n, 1, national, code, 1) for n, code in enumerate(communes[:-1])], "statuses")
    world.produce(3, [follow_up("recall", 1, "recall", national, communes)])
    assert world.projection().catch_up() == 10_600
    path = the_path(world.store, "national")
    assert path.document is not None
    assert len(path.document.deliveries) == 10_599
    assert sum(copy.is_acknowledged for copy in path.document.deliveries) == 10_598
    states = {copy.recipient: copy.state for copy in path.document.deliveries}
    assert set(states.values()) == {1 | TAKE_BACK_OPEN, WAITING | TAKE_BACK_OPEN}
    assert len(path.steps) == 10_598
    assert path.to_json().count('"status_code"') == 2 * 10_599 + 10_598


def test_an_id_that_several_used_must_be_told_apart(world: World) -> None:
    world.produce(0, [accepted(0, H26, "5", [G04])])
    world.produce(1, [accepted(0, H01, "5", [G04])])
    other = accepted(0, H01, "5", [G04], kind="report", summary=None, thread=f"{H01}/BC-01/2026")
    world.produce(2, [other], "reports")
    world.projection().catch_up()
    with pytest.raises(Ambiguous) as caught:
        trace(world.store, "5")
    assert caught.value.candidates == sorted([(H26, f"{H26}/5"), (H01, f"{H01}/5"), (H01, f"{H01}/BC-01/2026")])
    assert the_path(world.store, "5", H26).thread == f"{H26}/5"
    report = trace(world.store, "5", H01, f"{H01}/BC-01/2026")
    assert report is not None
    assert report.document is not None
    assert report.document.summary is None


def test_a_trace_that_no_longer_holds_the_offset_is_told(world: World) -> None:
    world.produce(0, [DOCUMENT])
    world.projection().catch_up()
    with world.store.connect() as database:
        database.execute("UPDATE offsets SET next_offset = 1000")
    with pytest.raises(Misconfigured, match="rebuild what is computed from it"):
        world.projection().catch_up()


def test_a_store_that_was_never_made_is_told(world: World) -> None:
    with pytest.raises(Unavailable, match=r"trace_store.missing"):
        trace(world.store, "d-1")
    with pytest.raises(Unavailable, match=r"kafka.topic_missing"):
        TraceProjection(world.base, world.store, f"{world.topic}.not").catch_up(patience_s=0)
