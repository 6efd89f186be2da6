"""The projection: from the topic `trace` to the trace store, and on, as long as it runs.

Guarantees: every event is stored exactly once, whatever dies meanwhile: it reads from the offsets that are stored
with the rows, not from any that Kafka keeps. PostgreSQL or Kafka away: it waits, longer each time up to
`BACKOFF_S_MAX`, and goes on. Two projections of one store don't harm it: one of them finds that the offsets have
moved and reads on from there. So does one under which `rebuild` puts a new store.
Does not: hurry the hop or hold it up; how far it is behind is the difference of two offsets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event

import structlog

from exchange import metrics
from exchange.backbone.clients import Config
from exchange.backbone.following import PORTION_BYTES_MAX, Following, follow
from exchange.backbone.offsets import oldest_of
from exchange.backbone.reading import SILENCE_TIMEOUT_S, Read
from exchange.errors import Misconfigured, Unavailable
from exchange.pipeline.books import TRACE
from exchange.views.trace_rows import Portion
from exchange.views.trace_store import Probe, TraceStore, TraceWriter, silent

BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 5.0
PATIENCE_S = 60.0
"""`catch_up` gives up when nothing could be written for so long."""
LINGER_S = 0.1
"""How long a portion collects while following: fewer transactions for the database."""

_WAIT_S = 0.5

Earlier = Callable[[int, int, int], Iterator[Read]]
"""Yields what has left the trace: of a partition, from an offset to before another."""

log = structlog.get_logger(__name__)


class TraceProjection:
    """Writes one trace store. `topic`: the trace; `probe`: told the steps of each transaction.

    `earlier`: what has left the topic; without it a store that needs that is `Misconfigured`.
    """

    def __init__(
        self,
        base: Config,
        store: TraceStore,
        topic: str = TRACE,
        probe: Probe = silent,
        earlier: Earlier | None = None,
    ) -> None:
        self._base = base
        self._earlier = earlier
        self._store = store
        self._topic = topic
        self._probe = probe
        self._as_of = metrics.AsOf(metrics.READER_BEHIND.labels("trace-store"))
        self.events = 0
        """Stored by this object so far."""

    def catch_up(self, ends: Mapping[int, int] | None = None, patience_s: float = PATIENCE_S) -> int:
        """Read to the trace's end as it is when reached, or to `ends`; returns how many events were stored.

        `ends`: next offset by partition (absent: 0) to stop before.
        Raises: Unavailable when nothing went forward for `patience_s`; Misconfigured, InvariantBroken.
        """
        before = self.events
        self._retried(lambda: self._read_to_end(ends), Event(), patience_s)
        return self.events - before

    def run(self, stop: Event) -> None:
        """Follow until `stop` is set, which is noticed within a second while the services answer.

        Raises: Misconfigured, InvariantBroken; both need a person. Unavailable never ends it.
        """
        self._retried(lambda: self._follow(stop), stop, math.inf)

    def _read_to_end(self, ends: Mapping[int, int] | None) -> None:
        with self._session(ends) as (writer, following):
            heard = time.monotonic()
            while not following.is_at_end:
                if self._write(writer, following.portion(_WAIT_S)):
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_TIMEOUT_S and not following.is_at_end:
                    raise Unavailable("kafka.silent", f"{self._topic}: nothing for {SILENCE_TIMEOUT_S} s")

    def _follow(self, stop: Event) -> None:
        with self._session(None) as (writer, following):
            while not stop.is_set():
                self._write(writer, following.portion(_WAIT_S, LINGER_S))
                self._as_of.reached(following.reached_ms)

    @contextmanager
    def _session(self, ends: Mapping[int, int] | None) -> Iterator[tuple[TraceWriter, Following]]:
        """Open both sides, reading from what is stored; after any failure a new session is the way back."""
        self._store.prepare()
        with self._store.connect() as connection:
            writer = TraceWriter(connection, self._topic, self._probe)
            self._fill_in(writer, ends)
            with follow(self._base, self._topic, writer.positions, ends) as following:
                yield writer, following

    def _fill_in(self, writer: TraceWriter, ends: Mapping[int, int] | None) -> None:
        """Write what has left the topic, from where the store ends to where the topic begins."""
        for partition, oldest in oldest_of(self._base, self._topic).items():
            end = oldest if ends is None else min(oldest, ends.get(partition, 0))
            start = writer.positions.get(partition, 0)
            if start >= end:
                continue
            if self._earlier is None:
                raise Misconfigured([f"{self._topic}/{partition} begins at {oldest}; {start} to there is archived"])
            portion: list[Read] = []
            for read in self._earlier(partition, start, end):
                portion.append(read)
                if sum(len(one.value) for one in portion) >= PORTION_BYTES_MAX:
                    self._write(writer, portion)
                    portion = []
            self._write(writer, portion)

    def _write(self, writer: TraceWriter, reads: list[Read]) -> bool:
        if not reads:
            return False
        portion = Portion()
        for read in reads:
            portion.add(read.partition, read.offset, read.value)
        with metrics.TRACE_WRITE.time():
            writer.write(portion)
        metrics.TRACE_EVENTS.inc(portion.events)
        self.events += portion.events
        return True

    def _retried(self, work: Callable[[], None], stop: Event, patience_s: float) -> None:
        """Do `work`, again after each Unavailable, until it ends or `stop` is set."""
        failures, stored, moved = 0, self.events, time.monotonic()
        while not stop.is_set():
            began = time.monotonic()
            try:
                work()
                return
            except Unavailable as exc:
                now = time.monotonic()
                if self.events != stored:
                    failures, stored, moved = 0, self.events, now
                if now - began > BACKOFF_S_MAX:  # it had worked for a while
                    failures = 0
                if now - moved > patience_s:
                    raise
                pause_s = min(BACKOFF_S_MIN * 2**failures, BACKOFF_S_MAX)
                failures += 1
                log.warning("trace_store.waiting", code=exc.code, detail=exc.detail, pause_s=pause_s)
            stop.wait(pause_s)
