"""Windows over deltas: each submission counts once, in its own window, and what was never counted is named."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import InvariantBroken
from exchange.views.throughput.windows import (
    LATENESS_MIN,
    SIZES_MIN,
    Cells,
    Gap,
    State,
    Step,
    Window,
    cell_of,
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


def delta(first: int, after: int, *cells: dict[str, Any]) -> dict[str, Any]:
    return {
        "topic": "documents",
        "partition": 3,
        "previous_next_offset": first,
        "next_offset": after,
        "cells": list(cells) or [cell()],
    }


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
        assert {cell_of(name)[:3]: counts for name, counts in cells.items()} == {(1, 0, "document"): [5, 7, 50]}
    assert step.touched == {key: set(cells) for key, cells in step.state["windows"].items()}


def test_a_repeat_counts_nothing() -> None:
    state = fold(None, delta(0, 5)).state
    for again in (delta(0, 5), delta(0, 3), delta(2, 5)):
        step = fold(state, again)
        assert step.is_repeat
        assert step.state == state
        assert (step.touched, step.closed, step.gap) == ({}, {}, None)


def test_a_delta_that_does_not_join_on_is_counted_and_the_gap_named() -> None:
    state = fold(None, delta(0, 5)).state
    step = fold(state, delta(8, 9, cell(NOON + 1)))
    assert step.gap == Gap(5, 8, NOON, NOON + 1)
    assert step.state["next_offset"] == 9
    assert fold(step.state, delta(9, 10)).gap is None


def test_a_first_delta_that_is_not_the_first_has_a_gap_before_it() -> None:
    assert fold(None, delta(4, 6)).gap == Gap(0, 4, 0, NOON)


def test_a_delta_partly_counted_already_is_not_counted_and_the_rest_is_a_gap() -> None:
    state = fold(None, delta(0, 5)).state
    step = fold(state, delta(3, 8))
    assert step.gap == Gap(5, 8, NOON, NOON)
    assert step.state["windows"] == state["windows"]
    assert step.state["next_offset"] == 8
    assert not step.is_repeat


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
        assert totals.fold(one).gap is None
        for again in data.draw(st.lists(st.sampled_from(deltas[: number + 1]), max_size=2)):
            assert totals.fold(again).is_repeat
    expected: Counter[tuple[str, int, str]] = Counter()
    for minute, outcome, _ in said:
        for size, minutes in SIZES_MIN.items():
            expected[size, minute - minute % minutes, outcome] += 1
    found = {(size, start, cell_of(name).outcome): c[0] for (size, start, name), c in totals.sums().items()}
    assert found == dict(expected)
    delivered = sum(counts[1] for (size, _, _), counts in totals.sums().items() if size == "day")
    assert delivered == sum(deliveries for _, _, deliveries in said)
