"""An hour's books against the recount: whatever is altered, left out or lost is found, and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from exchange.agencies import BACKBONE_CODE
from exchange.auditor import Coordinates, Cut, Finding, HourAudit, reconcile
from exchange.auditor.hour import Statement
from exchange.errors import Rejected
from exchange.statements import SUBMISSION_TOPICS
from exchange.statements.hours import HOUR_MS, Hour
from exchange.views.closing import Books, Missing
from tests.unit.audited_world import INBOX_PARTITIONS, PARTITIONS, START_MS, World, document, fields_of, lively, status

HOUR = Hour.of(START_MS)
AT = Coordinates("reports", 1, 77)

Change = Callable[[dict[str, Any]], object]


def ranges_of(world: World, hour: Hour) -> dict[tuple[str, int], tuple[int, int]]:
    """The hour's offsets: by the highest time so far, as the broker's index has them."""

    def first_since(place: tuple[str, int], ms: int) -> int:
        log = world.topics.get(place, [])
        return next((read.offset for read in log if read.append_ms >= ms), log[-1].offset + 1 if log else 0)

    places = [(topic, partition) for topic in SUBMISSION_TOPICS for partition in range(PARTITIONS)]
    return {place: (first_since(place, hour.start_ms), first_since(place, hour.end_ms)) for place in places}


def stated_by(world: World, hour: Hour) -> Books:
    """What the backbone states, from the trace."""
    ranges = {place: (a, min(b, world._positions[place])) for place, (a, b) in ranges_of(world, hour).items()}
    books = Books(hour, ranges)
    for (topic, _), log in world.topics.items():
        for read in log if topic == "trace" else []:
            trace = fields_of(read.value)
            first, end = ranges[trace["topic"], trace["partition"]]
            for event in trace["events"]:
                if first <= event["offset"] < end:
                    books.count(event)
    return books


def audited(world: World, books: Books, change: Change = lambda _: None) -> list[Finding]:
    """What the auditor finds of these books, altered or not."""
    recounted = HourAudit(books.hour, books.ranges, BACKBONE_CODE)
    openings = {place: first for place, (first, _) in books.ranges.items()}
    cut = Cut(PARTITIONS, INBOX_PARTITIONS, dict(world._positions), openings)
    balance = reconcile(cut, world, world.directory, told=recounted.tell)
    recounted.statements.append(Statement(AT, b"", 0, 0))
    stated = json.loads(books.encode())
    change(stated)
    return recounted.compare(balance, lambda _: stated)


def test_two_ways_to_the_same_books() -> None:
    world = lively()
    books = stated_by(world, HOUR)
    totals = books.totals()
    assert (totals["accepted"], totals["rejected"], totals["duplicates"]) == (14, 7, 2)
    assert (totals["delivered"], totals["undeliverable"]) == (56, 2)
    assert audited(world, books) == []


def test_each_hour_has_its_own_also_when_the_clock_stepped_back() -> None:
    world = World(step_ms=HOUR_MS // 4)
    for number in range(6):
        world.submit("document", document("G01", f"d{number}", "H01"))
    world.step_ms = -HOUR_MS // 2
    world.submit("document", document("G01", "stepped-back", "H01"))
    world.hop()
    hours = [Hour(HOUR.start_ms + number * HOUR_MS) for number in range(4)]
    books = [stated_by(world, hour) for hour in hours]
    assert sum(one.totals()["accepted"] for one in books) == 7
    assert len({one.totals()["accepted"] for one in books}) > 1
    assert [audited(world, one) for one in books] == [[], [], [], []]


@pytest.mark.parametrize("column", range(4, 10))
def test_one_number_altered_is_named(column: int) -> None:
    world = lively()
    books = stated_by(world, HOUR)

    def change(stated: dict[str, Any]) -> None:
        (row,) = [row for row in stated["rows"] if row[:4] == ["H01", 2, 4, "document"]]
        row[column] += 1

    (found,) = audited(world, books, change)
    assert (found.code, found.at, found.id) == ("audit.books_differ", AT, HOUR.books_id)
    assert "H01, level 2 to 4, document" in found.sentence


def test_a_row_left_out_or_added_is_named() -> None:
    world = lively()
    books = stated_by(world, HOUR)
    (found,) = audited(world, books, lambda stated: stated["rows"].pop(0))
    assert "stated rejected 0, recounted" in found.sentence
    (found,) = audited(world, books, lambda stated: stated["rows"].append(["H99", 2, 0, "document", 1, 0, 0, 0, 0, 0]))
    assert (found.code, "H99" in found.sentence) == ("audit.books_differ", True)


def test_books_about_other_offsets_are_named() -> None:
    world = lively()
    books = stated_by(world, HOUR)
    (found,) = audited(world, books, lambda stated: stated["ranges"].pop())
    assert found.code == "audit.books_range"
    (found,) = audited(world, books, lambda stated: stated["ranges"].append(["elsewhere", 0, 0, 5]))
    assert found.code == "audit.books_range"


def test_a_submission_that_got_lost_is_named_by_its_id() -> None:
    world = lively()
    books = stated_by(world, HOUR)
    at = world.at["s1"]
    world.alter(
        "trace",
        lambda trace: trace["topic"] == "statuses" and any(one["id"] == "s1" for one in trace["events"]),
        lambda trace: trace | {"events": [one for one in trace["events"] if one["id"] != "s1"]},
    )
    unstated = audited(world, books)
    assert {one.code for one in unstated} == {"audit.books_differ", "audit.books_missing"}
    (missing,) = [one for one in unstated if one.code == "audit.books_missing"]
    assert (missing.id, missing.sentence.endswith(f"{at.topic}/{at.partition}/{at.offset}")) == ("s1", True)
    # The backbone that states it from the same trace says so itself.
    honest = stated_by(world, HOUR)
    honest.missing.append(Missing(*at, "s1"))
    honest.missing_count = 1
    assert audited(world, honest) == []
    (surplus,) = audited(world, honest, lambda stated: stated["missing"].append(["documents", 0, 0, "d1"]))
    assert (surplus.code, surplus.id) == ("audit.books_missing", "d1")


def test_an_hour_that_nobody_closed_is_named() -> None:
    recounted = HourAudit(HOUR, {}, BACKBONE_CODE)
    (found,) = recounted.compare(World().balance(), lambda _: {})
    assert found.code == "audit.hour_not_closed"


@pytest.mark.parametrize("stated", [{}, {"ranges": [[]], "rows": []}, {"ranges": [], "rows": [["H01"]]}])
def test_books_that_say_nothing_are_named(stated: dict[str, Any]) -> None:
    recounted = HourAudit(HOUR, {}, BACKBONE_CODE, statements=[Statement(AT, b"", 0, 0)])
    (found,) = recounted.compare(World().balance(), lambda _: stated)
    assert found.code == "audit.books_unreadable"

    def refused(_: Statement) -> dict[str, Any]:
        raise Rejected("signature.invalid")

    (found,) = recounted.compare(World().balance(), refused)
    assert "signature.invalid" in found.sentence


def test_hours_are_named_in_vietnams_time() -> None:
    hour = Hour.named("2026-11-25T09")
    assert hour.start_ms == 1_795_572_000_000
    assert (hour.name, hour.before.name, Hour.of(hour.end_ms - 1)) == ("2026-11-25T09", "2026-11-25T08", hour)
    for name in ("2026-11-25", "2026-02-31T09", "2026-11-25T24", "2026-11-25T09:00"):
        with pytest.raises(Rejected, match=r"hour\.name"):
            Hour.named(name)


def test_receipts_are_counted_as_what_they_are() -> None:
    world = World()
    first = document("G01", "d", "H01")
    world.submit("document", first)
    world.submit("status", status("H01", "s", first, 1))
    world.hop()
    books = stated_by(world, HOUR)
    assert {row.kind for row in books.rows} == {"document", "status"}
    assert audited(world, books) == []
