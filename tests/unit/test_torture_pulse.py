"""The pulse of a tortured hop: standstill, and when a struck worker's partitions are served again."""

from __future__ import annotations

import pytest

from exchange.local.torture.pulse import QUIET_S, Pulse, Sample
from exchange.local.torture.schedule import Act, Stroke


def stroke(victim: str, act: Act = "kill") -> Stroke:
    return Stroke(1.0, victim, act, 0.0)


def sample(at: float, *committed: int, end: int = 1_000) -> Sample:
    """A look at one topic, with so many committed in each partition and `end` submitted there."""
    return Sample(
        at, at + 0.1, {("documents", p): n for p, n in enumerate(committed)},
        {("documents", p): end for p in range(len(committed))},
    )  # fmt: skip


def strike(pulse: Pulse, at: float, *strokes: Stroke) -> None:
    """Strokes fall and are over at once."""
    for one in strokes:
        pulse.told(one, "struck", at)
        pulse.told(one, "over", at)


def test_a_worker_is_back_when_every_partition_has_moved_on() -> None:
    pulse = Pulse(0)
    strike(pulse, 99, stroke("hop-1"))
    pulse.take(sample(100, 10, 10))
    pulse.take(sample(101, 20, 10))
    assert pulse.recoveries_s == []
    pulse.take(sample(102, 20, 11))
    [(struck, seconds)] = pulse.recoveries_s
    assert struck == stroke("hop-1")
    assert seconds == pytest.approx(3.1)


def test_a_partition_in_which_nothing_waits_is_served() -> None:
    pulse = Pulse(0)
    strike(pulse, 99, stroke("hop-1"))
    pulse.take(sample(100, 10, 50, end=50))
    pulse.take(sample(101, 20, 50, end=50))
    assert len(pulse.recoveries_s) == 1


def test_what_was_committed_before_the_stroke_doesnt_count() -> None:
    pulse = Pulse(0)
    pulse.take(sample(90, 10, 10))
    strike(pulse, 99, stroke("hop-1"))
    pulse.take(sample(98, 20, 20))
    pulse.take(sample(100, 20, 20))
    pulse.take(sample(101, 20, 20))
    assert pulse.recoveries_s == []


@pytest.mark.parametrize("other", ["hop-2", "kafka-1"])
def test_a_worker_struck_soon_after_another_or_the_broker_isnt_measured(other: str) -> None:
    pulse = Pulse(0)
    strike(pulse, 99, stroke(other))
    strike(pulse, 99 + QUIET_S - 1, stroke("hop-1"))
    pulse.take(sample(200, 10, 10))
    pulse.take(sample(201, 20, 20))
    assert pulse.recoveries_s == []
    strike(pulse, 201, stroke("hop-1"))
    pulse.take(sample(202, 30, 30))
    pulse.take(sample(203, 40, 40))
    assert len(pulse.recoveries_s) == 1, "alone again"


def test_a_worker_struck_while_another_is_stopped_isnt_measured() -> None:
    pulse = Pulse(0)
    pulse.told(stroke("hop-2", "stop"), "struck", 10)
    strike(pulse, 99, stroke("hop-1"))
    pulse.take(sample(100, 10, 10))
    pulse.take(sample(101, 20, 20))
    assert pulse.recoveries_s == []


def test_views_and_the_database_are_not_on_the_hop() -> None:
    pulse = Pulse(0)
    strike(pulse, 99, stroke("postgres"), stroke("trace-store"), stroke("hop-1"))
    pulse.take(sample(100, 10, 10))
    pulse.take(sample(101, 20, 20))
    assert len(pulse.recoveries_s) == 1


def test_standstill_is_time_in_which_something_waits_and_nothing_moves() -> None:
    pulse = Pulse(99)
    pulse.take(sample(100, 10, 10))
    pulse.take(sample(105, 10, 10))
    pulse.take(sample(106, 11, 10))
    assert pulse.standstill_s_max == pytest.approx(5)
    pulse.take(sample(107, 1_000, 1_000))
    pulse.take(sample(160, 1_000, 1_000))
    assert pulse.standstill_s_max == pytest.approx(5), "nothing waited"


def test_strokes_are_counted_and_who_is_away_is_known() -> None:
    pulse = Pulse()
    pulse.told(stroke("hop-1", "stop"), "struck")
    pulse.told(stroke("hop-2"), "missed")
    assert pulse.now.keys() == {"hop-1"}
    pulse.told(stroke("hop-1", "stop"), "over")
    assert not pulse.now
    assert pulse.strokes == {("hop-1", "stop"): 1}
    assert pulse.missed == 1
