"""How the hop fares while it is struck: how much waits for it, how long it stands still, how soon it is back.

`Pulse` is pure: it is told of strokes and of samples, with their times, and can be asked from any thread. `feel` takes
the samples from Kafka. A partition counts as *served again* after a stroke once its committed offsets have moved on
from where they were just after it, or nothing waits there.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Lock

import structlog

from exchange.backbone.clients import Config, reader
from exchange.backbone.hop import GROUP
from exchange.backbone.offsets import committed, ends
from exchange.errors import ExchangeError
from exchange.local.torture.schedule import Stroke

SAMPLE_S = 0.2
QUIET_S = 15.0
"""So long after any other stroke on the hop, everybody who was struck is taken to be back at work."""

Position = tuple[str, int]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `began`, `ended`: monotonic seconds; `committed`, `ends`: by topic and partition."""

    began: float
    ended: float
    committed: Mapping[Position, int]
    ends: Mapping[Position, int]

    @property
    def lag(self) -> int:
        """How much waits for the hop."""
        return sum(max(end - self.committed[position], 0) for position, end in self.ends.items())


@dataclass(slots=True)
class _Recovery:
    """From a stroke to the moment in which every partition is served again."""

    stroke: Stroke
    since: float
    alone: bool
    before: Mapping[Position, int] | None = None
    left: set[int] = field(default_factory=set)


class Pulse:
    """`strokes`: how many met a process, by victim and act; `missed`: how many found none, or came too late."""

    def __init__(self, now: float | None = None) -> None:
        self.strokes: Counter[tuple[str, str]] = Counter()
        self.missed = 0
        self.standstill_s_max = 0.0
        self.recoveries_s: list[tuple[Stroke, float]] = []
        """Of strokes on workers alone: neither the broker nor a worker was struck or away for `QUIET_S` before."""
        self.lag = 0
        self.now: dict[str, Stroke] = {}
        """Who is stopped or away."""
        self._waiting: list[_Recovery] = []
        self._quiet_since = -math.inf
        self._moved = time.monotonic() if now is None else now
        self._total = 0
        self._lock = Lock()

    def told(self, stroke: Stroke, what: str, now: float | None = None) -> None:
        """Take note of a stroke: ``struck``, ``missed`` or ``over``. `now`: monotonic seconds."""
        log.info("torture.stroke", what=what, stroke=str(stroke))
        now = time.monotonic() if now is None else now
        with self._lock:
            if what == "missed":
                self.missed += 1
            elif what == "struck":
                self.strokes[stroke.victim, stroke.act] += 1
                self.now[stroke.victim] = stroke
                if _is_on_the_hop(stroke):
                    self._begin(stroke, now)
            else:
                self.now.pop(stroke.victim, None)
                if _is_on_the_hop(stroke):
                    self._quiet_since = now

    def _begin(self, stroke: Stroke, now: float) -> None:
        others = [one for one in self.now.values() if _is_on_the_hop(one) and one.victim != stroke.victim]
        for one in self._waiting:
            one.alone = False
        alone = not others and not self._waiting and now - self._quiet_since >= QUIET_S
        self._waiting.append(_Recovery(stroke, now, alone))

    def take(self, sample: Sample) -> None:
        """Take note of a sample."""
        with self._lock:
            total = sum(sample.committed.values())
            if total > self._total or not sample.lag:
                self._moved = sample.ended
            self.standstill_s_max = max(self.standstill_s_max, sample.ended - self._moved)
            self._total, self.lag = total, sample.lag
            self._waiting = [one for one in self._waiting if not self._is_served(one, sample)]

    def _is_served(self, one: _Recovery, sample: Sample) -> bool:
        if one.before is None:
            if sample.began >= one.since:
                one.before, one.left = sample.committed, {partition for _, partition in sample.committed}
            return False
        moved = {p for (topic, p), offset in sample.committed.items() if offset > one.before[topic, p]}
        waits = {p for (topic, p), end in sample.ends.items() if end > sample.committed[topic, p]}
        one.left = (one.left - moved) & waits
        if one.left:
            return False
        seconds = sample.ended - one.since
        if one.alone and one.stroke.victim != "kafka-1":
            self.recoveries_s.append((one.stroke, seconds))
        log.info("torture.served_again", stroke=str(one.stroke), seconds=round(seconds, 1), alone=one.alone)
        return True


def feel(base: Config, partitions: int, pulse: Pulse, over: Event) -> None:
    """Take samples until `over` is set; while Kafka doesn't answer there are none."""
    asking = reader(base, group_id=GROUP)
    try:
        while not over.wait(SAMPLE_S):
            began = time.monotonic()
            try:
                found = committed(asking, range(partitions))
                lasts = {(topic, p): ends(asking, topic, p)[1] for topic, p in found}
            except ExchangeError as exc:
                log.info("torture.no_pulse", code=exc.code, detail=exc.detail)
                continue
            pulse.take(Sample(began, time.monotonic(), found, lasts))
    finally:
        asking.close()


def _is_on_the_hop(stroke: Stroke) -> bool:
    return stroke.victim.startswith(("hop-", "kafka-"))
