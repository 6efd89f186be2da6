"""What the windows state, read back from PostgreSQL: hours as their parts add up, how far they are closed, losses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from exchange.auditor import Coordinates, Cut, Stated, StatedHour, Windows
from exchange.auditor.findings import Findings
from exchange.errors import Unavailable
from exchange.local.services import Services
from exchange.statements import SUBMISSION_TOPICS
from exchange.views.throughput import Gap, ThroughputStore
from exchange.views.throughput.names import Cell, Latency, Receipts, Subtree, name_of
from exchange.views.throughput.stated import gaps, stated
from exchange.views.throughput.store import Batch, ThroughputWriter
from exchange.views.throughput.windows import LATENESS_MIN, State

pytestmark = pytest.mark.integration

HOUR = 480_000 * 60  # minutes since 1970, the first of an hour
SOURCE, OTHER = ("documents", 3), ("statuses", 3)
ACCEPTED, REFUSED = "2|0|document|accepted||1", "0|0|document|rejected|recipient.unknown|0"
PATH, APPEND_MS = "G00/H26/H26.12", HOUR * 60_000 + 5
CELL = Cell(2, 0, "document", "accepted", "", 1)


@pytest.fixture
def store(services: Services) -> Iterator[ThroughputStore]:
    store = ThroughputStore(services.database_url, f"stated_{uuid.uuid4().hex[:12]}")
    store.prepare()
    state: State = {"next_offset": 90, "newest_minute": HOUR + 130, "windows": {}}
    batch = Batch()
    batch.add_position(SOURCE, state)
    batch.add_cells(SOURCE, f"hour/{HOUR}/0", {ACCEPTED: [3, 5, 700], REFUSED: [1, 0, 0]}, 40)
    others = {name_of(Subtree(PATH)): [0, 0, 1, 0], name_of(Latency(5)): [1], name_of(Receipts(4, 7)): [1]}
    batch.add_cells(SOURCE, f"hour/{HOUR}/0", others, 40)
    batch.add_cells(SOURCE, f"hour/{HOUR}/50", {ACCEPTED: [2, 2, 10]}, 60)  # late ones, in a part of their own
    batch.add_cells(SOURCE, f"hour/{HOUR + 60}/40", {ACCEPTED: [9, 9, 9]}, 90)
    batch.add_cells(SOURCE, f"minute/{HOUR}/0", {ACCEPTED: [3, 5, 700]}, 40)
    batch.add_gap(OTHER, Gap(7, 9, HOUR, HOUR + 1))
    writer = ThroughputWriter(store)
    writer.write(batch)
    writer.close()
    yield store
    with store.connect() as connection:
        connection.execute(f'DROP SCHEMA "{store.schema}" CASCADE'.encode())


def windows(store: ThroughputStore) -> Windows:
    found = stated(store)
    hours = {
        place: StatedHour({(*cell,): sums for cell, sums in of.items()}, at) for place, (of, at) in found.hours.items()
    }
    return Windows(Stated(found.positions, found.closed, hours, found.gaps))


def codes(store: ThroughputStore) -> dict[str, int]:
    """What a recount of 4 + 2 submissions of the first hour and 9 of the second finds."""
    recounted, findings = windows(store), Findings()
    for offset in range(5):
        at = Coordinates(*SOURCE, offset)
        key = (HOUR + offset, "document", "accepted", "", 1, 2, 0)
        recounted.count(at, APPEND_MS, key, (1, 2 if offset < 2 else 1, 142))
    at = Coordinates(*SOURCE, 5)
    recounted.count(at, APPEND_MS, (HOUR + 9, "document", "rejected", "recipient.unknown", 0, 0, 0), (1, 0, 0))
    recounted.count(at, APPEND_MS, ("refused", HOUR + 9, PATH), (1,))
    recounted.count(at, APPEND_MS, ("appended", HOUR, 0), (1,))
    recounted.count(at, APPEND_MS, ("waits", HOUR, (4, 7)), (1,))
    for offset in range(6, 15):
        key = (HOUR + 60, "document", "accepted", "", 1, 2, 0)
        recounted.count(Coordinates(*SOURCE, offset), APPEND_MS, key, (1, 1, 1))
    next_offsets = {(topic, 3): 90 for topic in SUBMISSION_TOPICS}
    recounted.finish(3, Cut(4, 4, next_offsets), findings)
    return dict(findings.counts)


def test_hours_as_they_are_stored(store: ThroughputStore) -> None:
    found = stated(store)
    assert found.positions == {SOURCE: 90}
    assert found.closed == {SOURCE: HOUR + 130 - LATENESS_MIN}
    assert found.gaps == gaps(store) == [(OTHER, Gap(7, 9, HOUR, HOUR + 1))]
    assert set(found.hours) == {(SOURCE, HOUR), (SOURCE, HOUR + 60)}
    cells, at = found.hours[SOURCE, HOUR]
    assert at == 60
    assert cells[CELL] == [5, 7, 710]


def test_a_row_that_is_lost_or_altered_in_the_database_is_found(store: ThroughputStore) -> None:
    assert codes(store) == {"audit.window_gap": 1}
    with store.connect() as connection:
        connection.execute("UPDATE cells SET documents = documents - 1 WHERE size = 60 AND since = 50")
    assert codes(store) == {"audit.window_gap": 1, "audit.window_differs": 1}
    with store.connect() as connection:
        connection.execute("UPDATE cells SET documents = documents + 1 WHERE size = 60 AND since = 50")
    for table in ("subtrees", "sketches"):
        assert codes(store) == {"audit.window_gap": 1}
        with store.connect() as connection:
            connection.execute(f"CREATE TEMPORARY TABLE kept AS SELECT * FROM {table}".encode())  # noqa: S608
            connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608
            connection.commit()
            assert codes(store) == {"audit.window_gap": 1, "audit.window_differs": 1}
            connection.execute(f"INSERT INTO {table} SELECT * FROM kept".encode())  # noqa: S608
    with store.connect() as connection:
        connection.execute("DELETE FROM cells WHERE size = 60")
    assert codes(store) == {"audit.window_gap": 1, "audit.window_differs": 2}


def test_before_anything_was_counted_there_is_nothing_to_compare(services: Services) -> None:
    with pytest.raises(Unavailable, match=r"throughput\.missing"):
        stated(ThroughputStore(services.database_url, "stated_never"))
