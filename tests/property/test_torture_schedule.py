"""The schedule of a torture: by seed, within its time, everyone continued, and never two services away at once."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.local.torture.schedule import (
    BLINK_S,
    DOWN_S,
    SERVICES,
    SLEEP_S,
    VIEWS,
    Stroke,
    in_turn,
    schedule,
    turns,
)

SEEDS = st.integers(0, 2**32)
DURATIONS_S = st.floats(6, 600)
WORKERS = st.integers(1, 4)


@settings(deadline=None)
@given(SEEDS, DURATIONS_S, WORKERS)
def test_the_same_seed_gives_the_same_schedule(seed: int, duration_s: float, workers: int) -> None:
    assert schedule(seed, duration_s, workers) == schedule(seed, duration_s, workers)


def test_another_seed_gives_another_schedule() -> None:
    assert len({tuple(schedule(seed, 120, 2)) for seed in range(50)}) == 50


@settings(deadline=None)
@given(SEEDS, DURATIONS_S, st.floats(0, 300), WORKERS)
def test_a_longer_run_begins_with_the_strokes_of_a_shorter_one(
    seed: int, duration_s: float, more_s: float, workers: int
) -> None:
    longer = schedule(seed, duration_s + more_s, workers)
    for short_turn, long_turn in zip(
        in_turn(schedule(seed, duration_s, workers), workers), in_turn(longer, workers), strict=True
    ):
        assert long_turn[: len(short_turn)] == short_turn


@settings(deadline=None)
@given(SEEDS, DURATIONS_S, WORKERS)
def test_everyone_is_back_before_the_end_and_before_it_is_struck_again(
    seed: int, duration_s: float, workers: int
) -> None:
    strokes = schedule(seed, duration_s, workers)
    assert all(0 < stroke.at_s <= stroke.over_s <= duration_s for stroke in strokes)
    assert strokes == sorted(strokes, key=lambda stroke: (stroke.at_s, stroke.victim))
    for turn, struck in zip(turns(workers), in_turn(strokes, workers), strict=True):
        for one, following in pairwise(struck):
            assert one.over_s + turn.rest_s[0] <= following.at_s + 0.1, "rounded to a tenth"


@settings(deadline=None)
@given(SEEDS, DURATIONS_S, WORKERS)
def test_one_service_is_away_at_a_time(seed: int, duration_s: float, workers: int) -> None:
    services = [stroke for stroke in schedule(seed, duration_s, workers) if stroke.victim in SERVICES]
    assert not any(one.at_s < other.over_s and other.at_s < one.over_s for one, other in combinations(services, 2))


@settings(deadline=None)
@given(SEEDS, DURATIONS_S, WORKERS)
def test_a_stroke_lasts_as_long_as_its_act_asks_for(seed: int, duration_s: float, workers: int) -> None:
    for stroke in schedule(seed, duration_s, workers):
        if stroke.act == "stop":
            assert BLINK_S[0] <= stroke.for_s <= BLINK_S[1] or SLEEP_S[0] <= stroke.for_s <= SLEEP_S[1]
        elif stroke.victim in SERVICES:
            assert DOWN_S[0] <= stroke.for_s <= DOWN_S[1]
        else:
            assert stroke.for_s == 0.0, "the crew brings it back"


@settings(deadline=None)
@given(SEEDS, WORKERS)
def test_in_ten_minutes_everyone_is_struck(seed: int, workers: int) -> None:
    strokes = schedule(seed, 600, workers)
    everyone = {f"hop-{number}" for number in range(1, workers + 1)} | set(VIEWS) | set(SERVICES)
    assert {stroke.victim for stroke in strokes} == everyone


def test_a_stroke_can_be_read() -> None:
    assert str(Stroke(12.6, "hop-1", "stop", 10.0)) == "   12.6 s  stop hop-1 for 10.0 s"
    assert str(Stroke(8.1, "hop-2", "kill", 0.0)) == "    8.1 s  kill hop-2"
