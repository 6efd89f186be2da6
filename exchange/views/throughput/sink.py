"""From states to rows: what of each source partition is not yet in PostgreSQL, and writing it.

Guarantees: a closed window is stored before `close` returns, however long PostgreSQL is away; open windows follow
with the next `flush`, those of many subtrees with a later one. A failed flush is tried again with the next one, with
newer sums.
"""

from __future__ import annotations

import asyncio

import structlog

from exchange.errors import Unavailable
from exchange.views.throughput.names import Subtree, named
from exchange.views.throughput.store import Batch, Source, ThroughputStore, ThroughputWriter
from exchange.views.throughput.windows import Cells, State, Step

BACKOFF_S_MIN, BACKOFF_S_MAX = 0.2, 5.0
SUBTREES_MAX, SUBTREES_S = 200, 10.0
"""How many changes of subtrees are stored without waiting for more of the same: under load each changes often."""

Touched = dict[Source, dict[str, set[str]]]
"""What isn't stored yet: of a source's open windows, by key, names."""

log = structlog.get_logger(__name__)


class Sink:
    """Writes to one store. Used from one event loop; PostgreSQL is waited for in a thread."""

    def __init__(self, store: ThroughputStore) -> None:
        self._writer = ThroughputWriter(store)
        self._lock = asyncio.Lock()
        self._states: dict[Source, State] = {}
        self._touched: Touched = {}
        self._subtrees: Touched = {}
        self._subtrees_at = 0.0
        self._failures = 0
        self._retry_at = 0.0

    async def close_windows(self, steps: dict[Source, Step]) -> None:
        """Store what the steps' states forget: closed windows, and gaps. Waits for PostgreSQL as long as it takes.

        Raises: InvariantBroken.
        """
        batch = Batch()
        for source, step in steps.items():
            batch.add_closed(source, step)
        pause_s = BACKOFF_S_MIN
        while True:
            try:
                async with self._lock:
                    await asyncio.to_thread(self._writer.write, batch)
                return
            except Unavailable as exc:
                log.warning("throughput.waiting", code=exc.code, detail=exc.detail, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, BACKOFF_S_MAX)

    def keep(self, source: Source, step: Step) -> None:
        """Take a step's state, whose changes the next `flush` stores."""
        self._states[source] = step.state
        for changes, more in ((self._touched, step.touched), (self._subtrees, step.touched_subtrees)):
            touched = changes.setdefault(source, {})
            for key in step.closed:
                touched.pop(key, None)
            for key, names in more.items():
                touched.setdefault(key, set()).update(names)

    def restore(self, source: Source, state: State) -> None:
        """Take a state of before a restart, of which the next `flush` stores everything."""
        self._states[source] = state
        self._touched[source], self._subtrees[source] = {}, {}
        for key, cells in state["windows"].items():
            subtrees = {name for name in cells if isinstance(named(name), Subtree)}
            self._touched[source][key], self._subtrees[source][key] = cells.keys() - subtrees, subtrees

    async def flush(self, *, is_last: bool = False) -> None:
        """Store the changes of open windows, unless PostgreSQL is away: then not before a pause. InvariantBroken.

        Subtrees' changes, if they are many, only every `SUBTREES_S`, or if it `is_last`.
        """
        now = asyncio.get_running_loop().time()
        if now < self._retry_at:
            return
        taken, self._touched = [self._touched], {}
        many = sum(len(names) for touched in self._subtrees.values() for names in touched.values())
        if many <= SUBTREES_MAX or is_last or now >= self._subtrees_at:
            taken.append(self._subtrees)
            self._subtrees, self._subtrees_at = {}, now + SUBTREES_S
        batch = self._batch(taken)
        if batch.is_empty:
            return
        try:
            async with self._lock:
                await asyncio.to_thread(self._writer.write, batch)
            self._failures = 0
        except Unavailable as exc:
            self._put_back(taken)
            pause_s = min(BACKOFF_S_MIN * 2**self._failures, BACKOFF_S_MAX)
            self._failures += 1
            self._retry_at = now + pause_s
            log.warning("throughput.waiting", code=exc.code, detail=exc.detail, pause_s=pause_s)

    def end(self) -> None:
        """Let go of the connection."""
        self._writer.close()

    def _batch(self, taken: list[Touched]) -> Batch:
        batch = Batch()
        for changes in taken:
            for source, touched in changes.items():
                state = self._states[source]
                for key, names in touched.items():
                    window: Cells = state["windows"][key]
                    batch.add_cells(source, key, {name: window[name] for name in names}, state["next_offset"])
        for source in taken[0]:
            batch.add_position(source, self._states[source])
        return batch

    def _put_back(self, taken: list[Touched]) -> None:
        """Remember what couldn't be stored, except of windows that closed meanwhile: those are stored."""
        for changes, now in zip(taken, (self._touched, self._subtrees), strict=False):
            for source, touched in changes.items():
                left = now.setdefault(source, {})
                for key, names in touched.items():
                    if key in self._states[source]["windows"]:
                        left.setdefault(key, set()).update(names)
