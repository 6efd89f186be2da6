"""The throughput's windows against the recount: what was lost, doubled or moved is found, and named by its offsets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.auditor import Balance, Cut, Stated, StatedHour, Windows, reconcile
from exchange.auditor.windows import bucket_of
from exchange.errors import Rejected
from exchange.views.throughput.names import named
from exchange.views.throughput.packing import delta_of
from exchange.views.throughput.sketch import MS_MAX
from exchange.views.throughput.sketch import bucket_of as counted_in
from exchange.views.throughput.windows import LATENESS_MIN, SIZES_MIN, State, fold, window_of
from tests.unit.audited_world import (
    INBOX_PARTITIONS,
    PARTITIONS,
    START_MS,
    World,
    document,
    report,
    status,
)

HOUR_MIN = SIZES_MIN["hour"]
Hours = dict[tuple[tuple[str, int], int], StatedHour]
Source = tuple[str, int]


def busy() -> World:
    """Six hours of everything, an outcome of each kind among it; each submission 7 minutes after the one before."""
    world = World(step_ms=7 * 60_000)
    for number in range(12):
        one = document("G01", f"d{number}", "H01", "H02")
        world.submit("document", one)
        world.submit("document", document("H02", f"unknown{number}", "H77"))
        world.submit("document", document("H02", f"forged{number}", "H01"), Rejected("signature.wrong"), verified=False)
        world.submit("report", report("H01.01", f"r{number}", "G00"))
        world.submit("status", status("H01", f"s{number}", one, 1))
        if number % 3 == 2:
            world.submit("document", one)
            world.hop()
    return world


def stated_by(world: World, lost: Callable[[Source, int], bool] = lambda *_: False) -> Stated:
    """What the windows state of a world's deltas. `lost`: of which (source, first offset) nothing reaches the sums."""
    states: dict[Source, State] = {}
    hours: Hours = {}
    for (topic, _), log in world.topics.items():
        for read in log if topic == "throughput.deltas" else []:
            delta = delta_of(read.value, read.append_ms)
            source = (delta["topic"], delta["partition"])
            if lost(source, delta["previous_next_offset"]):
                delta = {**delta, "cells": [], "minutes": []}
            step = fold(states.get(source), delta)
            states[source] = step.state
            for key, cells in (step.closed | step.state["windows"]).items():
                window = window_of(key)
                if window.size == "hour":
                    sums = {(*named(name),): list(counts) for name, counts in cells.items()}
                    hours[source, window.start] = StatedHour(sums, step.state["next_offset"])
    positions = {source: state["next_offset"] for source, state in states.items()}
    closed = {source: state["newest_minute"] - LATENESS_MIN for source, state in states.items()}
    return Stated(positions, closed, hours, [])


def audited(world: World, stated: Stated) -> Balance:
    cut = Cut(PARTITIONS, INBOX_PARTITIONS, dict(world._positions), world.openings)
    return reconcile(cut, world, world.directory, windows=Windows(stated))


def altered(stated: Stated, change: Callable[[Hours], object]) -> Stated:
    hours = dict(stated.hours)
    change(hours)
    return stated._replace(hours=hours)


def a_closed_hour(stated: Stated) -> tuple[Source, int]:
    return min((place for place in stated.hours if place[1] + HOUR_MIN <= stated.closed[place[0]]), key=str)


def test_windows_of_the_hops_deltas_agree() -> None:
    world = busy()
    balance = audited(world, stated_by(world))
    assert balance.holds, balance.findings
    assert balance.windows is not None
    assert balance.windows > 8
    assert world.balance().windows is None


def test_a_lost_delta_is_named_with_its_partition_and_offsets() -> None:
    world = busy()
    source = a_closed_hour(stated_by(world))[0]
    balance = audited(world, stated_by(world, lambda one, first: one == source and first == 0))
    assert set(balance.finding_counts) == {"audit.window_differs"}
    found = balance.findings[0]
    assert (found.at.topic, found.at.partition) == source
    assert f"offsets {found.at.offset} to " in found.sentence
    assert "counted 0, recounted" in found.sentence
    assert not balance.holds


@pytest.mark.parametrize("number", [0, 1, 2], ids=["documents", "deliveries", "bytes"])
def test_altered_sums_are_found(number: int) -> None:
    world = busy()
    stated = stated_by(world)
    place = a_closed_hour(stated)
    cells = {cell: list(sums) for cell, sums in stated.hours[place].cells.items()}
    next(iter(cells.values()))[number] += 1
    balance = audited(world, altered(stated, lambda hours: hours.update({place: StatedHour(cells, 0)})))
    assert balance.finding_counts == {"audit.window_differs": 1}


@pytest.mark.parametrize("length", [1, 2], ids=["subtrees and latencies", "receipts"])
def test_an_altered_figure_beside_the_cells_is_found(length: int) -> None:
    world = busy()
    stated = stated_by(world)
    for place, hour in stated.hours.items():
        for figure, sums in hour.cells.items():
            if len(figure) == length and place[1] + HOUR_MIN <= stated.closed[place[0]]:
                more = {**hour.cells, figure: [*sums[:-1], sums[-1] + 1]}
                changed = stated._replace(hours={**stated.hours, place: StatedHour(more, hour.next_offset)})
                assert audited(world, changed).finding_counts == {"audit.window_differs": 1}
                break
        else:
            continue
        break
    else:
        pytest.fail("no such figure")


@given(st.integers(-10, MS_MAX))
def test_the_auditors_buckets_are_those_of_the_windows(ms: int) -> None:
    assert bucket_of(ms) == counted_in(ms)


def test_a_missing_and_a_surplus_hour_are_found() -> None:
    world = busy()
    stated = stated_by(world)
    place = a_closed_hour(stated)
    assert audited(world, altered(stated, lambda hours: hours.pop(place))).finding_counts == {"audit.window_differs": 1}
    source, start = place
    moved = (source, start - 100 * HOUR_MIN)
    balance = audited(world, altered(stated, lambda hours: hours.update({moved: hours[place]})))
    assert balance.finding_counts == {"audit.window_differs": 1}
    assert "no submission" in balance.findings[0].sentence


def test_a_gap_is_named_and_its_hours_are_not_compared() -> None:
    world = busy()
    stated = stated_by(world)
    source, start = a_closed_hour(stated)
    lossy = altered(stated, lambda hours: hours.pop((source, start)))
    gap = (3, 9, start + 1, start + 2)
    balance = audited(world, lossy._replace(gaps=[(source, gap)]))
    assert balance.finding_counts == {"audit.window_gap": 1}
    assert balance.findings[0].at == (*source, 3)
    assert "3 to 8" in balance.findings[0].sentence


class TestWhatCantBeComparedIsNot:
    def test_hours_that_are_open(self) -> None:
        world = busy()
        stated = stated_by(world)
        place = a_closed_hour(stated)
        lossy = altered(stated, lambda hours: hours.pop(place))
        balance = audited(world, lossy._replace(closed={**stated.closed, place[0]: place[1] + HOUR_MIN - 1}))
        assert balance.holds

    def test_hours_beyond_what_is_counted(self) -> None:
        world = busy()
        stated = stated_by(world)
        place = a_closed_hour(stated)
        lossy = altered(stated, lambda hours: hours.pop(place))
        assert audited(world, lossy._replace(positions={**stated.positions, place[0]: 1})).holds

    def test_hours_that_begin_before_what_is_kept(self) -> None:
        world = busy()
        stated = stated_by(world)
        for topic in ("documents", "statuses", "reports"):
            for partition in range(PARTITIONS):
                log = world.topics.get((topic, partition), [])
                if len(log) > 4:
                    del log[:3]
                    world.openings[topic, partition] = log[0].offset
        assert world.openings
        balance = audited(world, stated)
        assert not [code for code in balance.finding_counts if code.startswith("audit.window")]

    def test_hours_in_doubt(self) -> None:
        world = busy()
        stated = stated_by(world)
        world.delete("trace", lambda fields: any(event["id"] == "d1" for event in fields["events"]))
        balance = audited(world, stated)
        assert balance.finding_counts["audit.missing_event"]
        assert "audit.window_differs" not in balance.finding_counts


def test_the_clock_begins_where_the_world_does() -> None:
    """A positive control of `busy`: it spans hours."""
    world = busy()
    minutes = {
        read.append_ms // 60_000 for (topic, _), log in world.topics.items() if topic == "documents" for read in log
    }
    assert max(minutes) - START_MS // 60_000 > 5 * HOUR_MIN
