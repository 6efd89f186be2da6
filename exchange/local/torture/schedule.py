"""When which process is struck, and how: all of it by seed, before anything runs. Pure, no I/O.

Guarantees: same seed and workers, same strokes; a longer time begins with those of a shorter one. Whoever is stopped
or taken away is back before the end, and before it is struck again; of the services (Kafka, PostgreSQL) one is away at
a time. Processes of ours are struck whatever else is going on: two workers may be gone at once, and the broker too.
Not guaranteed: that a stroke falls. One is missed whose victim is just being started again, or whose turn comes late,
because a service took long to come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Act = Literal["kill", "stop", "end"]
"""SIGKILL; SIGSTOP, and SIGCONT after a while; the signal by which the process ends in good order."""

ACTS: tuple[Act, ...] = ("kill", "stop", "end")

SERVICES = ("kafka-1", "postgres")
VIEWS = ("trace-store", "throughput", "ledger", "promises")

BLINK_S = (0.2, 3.0)
SLEEP_S = (7.0, 12.0)
"""A stop: within the group's session of 6 s and a transaction's 3 s, or beyond both, so that partitions move."""
DOWN_S = (0.0, 5.0)
"""How long a service stays away before it is brought up again."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke. `at_s`: since the beginning. `for_s`: how long the victim is stopped, or a service away; else 0."""

    at_s: float
    victim: str
    act: Act
    for_s: float

    @property
    def over_s(self) -> float:
        """When the victim is continued or brought up again, since the beginning."""
        return self.at_s + self.for_s

    def __str__(self) -> str:
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:7.1f} s  {self.act} {self.victim}{lasting}"


@dataclass(frozen=True, slots=True)
class Turn:
    """Victims of which one is struck at a time, each once a round, in an order drawn anew.

    `rest_s`: at least and at most, from one stroke's end to the next.
    """

    victims: tuple[str, ...]
    rest_s: tuple[float, float]
    weights: tuple[int, int, int]
    """Of kill, stop and end."""


def turns(workers: int) -> list[Turn]:
    """Who is struck in turn with whom; the turns don't look at each other."""
    hops = [Turn((f"hop-{number}",), (6.0, 24.0), (5, 4, 1)) for number in range(1, workers + 1)]
    views = [Turn((name,), (12.0, 40.0), (5, 3, 2)) for name in VIEWS]
    return [*hops, *views, Turn(SERVICES, (10.0, 30.0), (5, 3, 2))]


def schedule(seed: int, duration_s: float, workers: int) -> list[Stroke]:
    """All strokes of a run, by time; each is over before `duration_s`."""
    strokes = [stroke for turn in turns(workers) for stroke in _strokes(turn, seed, duration_s)]
    return sorted(strokes, key=lambda stroke: (stroke.at_s, stroke.victim))


def in_turn(strokes: Sequence[Stroke], workers: int) -> list[list[Stroke]]:
    """The strokes of each turn, by time."""
    return [[stroke for stroke in strokes if stroke.victim in turn.victims] for turn in turns(workers)]


def _strokes(turn: Turn, seed: int, duration_s: float) -> Iterator[Stroke]:
    random = Random(f"{seed}/{turn.victims[0]}")  # noqa: S311  repeatable by its seed
    over_s, round_ = 0.0, list[str]()
    while True:
        round_ = round_ or random.sample(turn.victims, len(turn.victims))
        victim = round_.pop()
        at_s = round(over_s + random.uniform(*turn.rest_s), 1)
        act = random.choices(ACTS, turn.weights)[0]
        stroke = Stroke(at_s, victim, act, _for_s(random, victim, act))
        over_s = stroke.over_s
        if over_s > duration_s:
            return
        yield stroke


def _for_s(random: Random, victim: str, act: Act) -> float:
    if act == "stop":
        return round(random.uniform(*random.choice((BLINK_S, SLEEP_S))), 1)
    return round(random.uniform(*DOWN_S), 1) if victim in SERVICES else 0.0
