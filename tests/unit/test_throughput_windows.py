"""Windows over deltas: each submission counts once, in its own window, and what was never counted is named."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import InvariantBroken
from exchange.pipeline.columns import Columns, Receipt
from exchange.statements import schema
from exchange.views.throughput.names import Cell, Latency, Receipts, Subtree, named
from exchange.views.throughput.packing import Packed, delta_of, pack, unpack
from exchange.views.throughput.sketch import BOUNDS_MS, MS_MAX, bucket_of, percentile
from exchange.views.throughput.windows import (
    LATENESS_MIN,
    SIZES_MIN,
    Cells,
    Folding,
    Gap,
    State,
    Step,
    Window,
    fold,
    key_of,
    window_of,
)

NOON = 29_000_160
"""A minute that begins a minute, an hour and a day apart from others: 29,000,160 is 20139 days."""

Submission = tuple[int, str, int]
"""minute, outcome, deliveries."""


def cell(minute: int = NOON, outcome: str = "accepted", documents: int = 1, deliveries: int = 2) -> dict[str, Any]:
    return {
        "minute": minute, "kind": "document", "outcome": outcome, "code": "", "urgency": 0, "sender_level": 1,
        "recipient_level": 0, "documents": documents, "deliveries": deliveries, "bytes": 10 * documents,
    }  # fmt: skip


def delta(first: int, after: int, *cells: dict[str, Any], minutes: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {
        "topic": "documents",
        "partition": 3,
        "previous_next_offset": first,
        "next_offset": after,
        "cells": list(cells) or [cell()],
        "minutes": list(minutes),
        "append_ms": NOON * 60_000 + 500,
    }


def columns(minute: int = NOON, **named_columns: Any) -> dict[str, Any]:  # noqa: ANN401
    """A minute of a delta, as the hop writes it; what isn't named is empty."""
    return {**Columns().fields(minute), **named_columns}


class Totals:
    """Folds deltas and adds up what was closed and what is open, by window and cell."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.closed: dict[str, Cells] = {}

    def fold(self, one: dict[str, Any]) -> Step:
        step = fold(self.state, one)
        assert not (self.closed.keys() & step.closed.keys())
        self.closed |= step.closed
        self.state = json.loads(json.dumps(step.state))
        return step

    def sums(self) -> dict[tuple[str, int, str], list[int]]:
        assert self.state is not None
        sums: dict[tuple[str, int, str], list[int]] = {}
        for key, cells in (*self.closed.items(), *self.state["windows"].items()):
            window = window_of(key)
            for name, counts in cells.items():
                total = sums.setdefault((window.size, window.start, name), [0, 0, 0])
                total[:] = map(sum, zip(total, counts, strict=True))
        return sums


def test_a_delta_counts_in_a_window_of_every_size() -> None:
    step = fold(None, delta(0, 5, cell(documents=5, deliveries=7)))
    assert step.state["next_offset"] == 5
    windows = {window_of(key): cells for key, cells in step.state["windows"].items()}
    assert set(windows) == {
        Window(size, NOON - NOON % minutes, since=0) for size, minutes in SIZES_MIN.items()
    }  # fmt: skip
    for cells in windows.values():
        assert {named(name)[:3]: counts for name, counts in cells.items()} == {(1, 0, "document"): [5, 7, 50]}
    assert step.touched == {key: set(cells) for key, cells in step.state["windows"].items()}


def test_a_repeat_counts_nothing() -> None:
    state = fold(None, delta(0, 5)).state
    for again in (delta(0, 5), delta(0, 3), delta(2, 5)):
        step = fold(state, again)
        assert Folding(state).is_repeat(again)
        assert step == Step(state)


def test_a_delta_that_does_not_join_on_is_counted_and_the_gap_named() -> None:
    state = fold(None, delta(0, 5)).state
    step = fold(state, delta(8, 9, cell(NOON + 1)))
    assert step.gaps == [Gap(5, 8, NOON, NOON + 1)]
    assert step.state["next_offset"] == 9
    assert fold(step.state, delta(9, 10)).gaps == []


def test_a_first_delta_that_is_not_the_first_has_a_gap_before_it() -> None:
    assert fold(None, delta(4, 6)).gaps == [Gap(0, 4, 0, NOON)]


def test_a_delta_partly_counted_already_is_not_counted_and_the_rest_is_a_gap() -> None:
    state = fold(None, delta(0, 5)).state
    step = fold(state, delta(3, 8))
    assert step.gaps == [Gap(5, 8, NOON, NOON)]
    assert step.state["windows"] == state["windows"]
    assert step.state["next_offset"] == 8
    assert not Folding(state).is_repeat(delta(3, 8))


def test_a_delta_that_covers_nothing_is_a_bug() -> None:
    with pytest.raises(InvariantBroken, match="documents/3 from 5 to 5"):
        fold(None, delta(5, 5))


def test_a_state_is_left_as_it_was() -> None:
    state = fold(None, delta(0, 5)).state
    before = json.dumps(state)
    fold(state, delta(5, 6))
    assert json.dumps(state) == before


def test_a_window_closes_when_the_partition_is_past_its_lateness() -> None:
    state = fold(None, delta(0, 5)).state
    for minute in range(NOON, NOON + LATENESS_MIN + 1):
        step = fold(state, delta(5, 6, cell(minute)))
        assert step.closed == {}
    step = fold(state, delta(5, 6, cell(NOON + LATENESS_MIN + 1)))
    assert list(step.closed) == [key_of(Window("minute", NOON, 0))]
    assert key_of(Window("minute", NOON, 0)) not in step.state["windows"]
    assert not step.closed.keys() & step.touched.keys()


def test_what_comes_late_counts_in_its_own_window_as_another_part() -> None:
    totals = Totals()
    totals.fold(delta(0, 5, cell(documents=5)))
    totals.fold(delta(5, 6, cell(NOON + 10)))
    late = totals.fold(delta(6, 8, cell(documents=2)))
    assert list(late.closed) == [key_of(Window("minute", NOON, 6))]
    [counts] = [counts for (size, start, _), counts in totals.sums().items() if (size, start) == ("minute", NOON)]
    assert counts[0] == 7


def test_a_name_that_could_not_be_told_apart_is_a_bug() -> None:
    with pytest.raises(InvariantBroken, match="can't be named"):
        fold(None, delta(0, 1, cell(outcome="a|b")))


submissions = st.lists(
    st.tuples(st.integers(NOON - 2000, NOON + 2000), st.sampled_from(["accepted", "rejected"]), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@given(said=submissions, data=st.data())
def test_any_division_into_deltas_gives_the_same_totals_repeats_or_not(
    said: list[Submission], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(said)), max_size=10)) | {len(said)})
    deltas, first = [], 0
    for after in cuts:
        deltas.append(delta(first, after, *(cell(m, outcome, 1, n) for m, outcome, n in said[first:after])))
        first = after
    totals = Totals()
    for number, one in enumerate(deltas):
        assert totals.fold(one).gaps == []
        for again in data.draw(st.lists(st.sampled_from(deltas[: number + 1]), max_size=2)):
            before = totals.state
            assert totals.fold(again) == Step(before)  # type: ignore[arg-type]
    expected: Counter[tuple[str, int, str]] = Counter()
    for minute, outcome, _ in said:
        for size, minutes in SIZES_MIN.items():
            expected[size, minute - minute % minutes, outcome] += 1
    found = {
        (
            size,
            start,
            named(name).outcome,  # type: ignore[union-attr]
        ): c[0]
        for (size, start, name), c in totals.sums().items()
    }
    assert found == dict(expected)
    delivered = sum(counts[1] for (size, _, _), counts in totals.sums().items() if size == "day")
    assert delivered == sum(deliveries for _, _, deliveries in said)


@given(
    said=st.lists(
        st.tuples(st.integers(NOON - 130, NOON + 130), st.sampled_from(["G00/H1", "G00/H1/H1.2", "G00/G3"])),
        min_size=1, max_size=30,
    ),
    data=st.data(),
)  # fmt: skip
def test_deltas_folded_together_lead_to_what_they_lead_to_one_by_one(
    said: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Windows, parts and all: after a kill, deltas are fetched in other portions than before it."""
    deltas = [
        delta(n, n + 1, cell(minute), minutes=[columns(minute, senders=path, recipients=f"{path} G00", appended=b"ab")])
        for n, (minute, path) in enumerate(said)
    ]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(deltas)), max_size=6)) | {0, len(deltas)})
    state: State | None = None
    closed: dict[str, Cells] = {}
    for first, after in itertools.pairwise(cuts):
        step = fold(state, *deltas[first:after])
        assert not closed.keys() & step.closed.keys()
        closed |= step.closed
        state = json.loads(json.dumps(step.state))
    whole = fold(None, *deltas)
    assert (state, closed) == (whole.state, whole.closed)
    sums = [
        c for k, window in {**closed, **whole.state["windows"]}.items() if k.startswith("hour") for c in window.items()
    ]
    sent = sum(counts[0] for name, counts in sums if isinstance(named(name), Subtree))
    received = sum(counts[1] for name, counts in sums if isinstance(named(name), Subtree))
    assert (sent, received) == (len(said), 2 * len(said))


def test_subtrees_count_in_hours_and_times_in_windows_of_every_size() -> None:
    made = Columns(appended=[NOON * 60_000, NOON * 60_000 + 400], refused=["G00/H1"])
    made.receipts += [Receipt("G00/H1", 2, 90_000), Receipt("G00", 1, -5)]
    fields = {**made.fields(NOON), "senders": "G00/H1 G00/H1 G00/G3", "recipients": "G00/H1"}
    step = fold(None, delta(0, 9, minutes=[fields]))
    for key, window in step.state["windows"].items():
        counts = {named(name): sums for name, sums in window.items() if not isinstance(named(name), Cell)}
        times = {Latency(bucket_of(500)): [1], Latency(bucket_of(100)): [1],
                 Receipts(2, bucket_of(90_000)): [1], Receipts(1, 0): [1]}  # fmt: skip
        subtrees = {Subtree("G00/H1"): [2, 1, 1, 1], Subtree("G00/G3"): [1, 0, 0, 0], Subtree("G00"): [0, 0, 0, 1]}
        assert counts == (times | subtrees if window_of(key).size == "hour" else times)
    [(key, names)] = step.touched_subtrees.items()
    assert window_of(key).size == "hour"
    assert {named(name) for name in names} == {Subtree("G00/H1"), Subtree("G00/G3"), Subtree("G00")}
    assert not any(isinstance(named(name), Subtree) for names in step.touched.values() for name in names)


def test_a_delta_of_the_first_version_counts_without_columns() -> None:
    fields = delta(0, 5, cell(documents=5))
    first = delta_of(schema("delta", 1).encode(fields), 1)
    window = fold(None, first).state["windows"][key_of(Window("minute", NOON, 0))]
    assert [(named(name)[:3], counts) for name, counts in window.items()] == [((1, 0, "document"), [5, 10 // 5, 50])]


def test_what_is_packed_is_unpacked() -> None:
    records = [Packed(3, 1_700_000_000_000, b"abc"), Packed(4, 0, b""), Packed(9, 5, bytes(1000))]
    assert list(unpack(pack(records))) == records


@given(st.lists(st.integers(0, MS_MAX), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_percentile_is_at_most_a_tenth_above_the_true_one(times_ms: list[int], share: float) -> None:
    counts = Counter(bucket_of(ms) for ms in times_ms)
    true_ms = sorted(times_ms)[math.ceil(share * len(times_ms)) - 1]
    found_ms = percentile(counts, share)
    assert found_ms is not None
    assert true_ms <= found_ms <= max(true_ms * 1.1, true_ms + 1)


def test_times_out_of_range_are_counted_at_its_ends() -> None:
    assert bucket_of(-1) == bucket_of(0) == 0
    assert bucket_of(10 * MS_MAX) == bucket_of(MS_MAX) == len(BOUNDS_MS) - 1
    assert [BOUNDS_MS[bucket_of(ms)] for ms in range(12)] == list(range(12))
    assert percentile({}, 0.5) is None
