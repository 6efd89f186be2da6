"""From states to rows: what of each source partition is not yet in PostgreSQL, and writing it.

Guarantees: a closed window is stored before `close` returns, however long PostgreSQL is away; open windows follow
with the next `flush`. A failed flush is tried again with the next one, with newer sums.
"""

from __future__ import annotations

import asyncio

import structlog

from exchange.errors import Unavailable
from exchange.views.throughput.store import Batch, Source, ThroughputStore, ThroughputWriter
from exchange.views.throughput.windows import Cells, State, Step

BACKOFF_S_MIN, BACKOFF_S_MAX = 0.2, 5.0

log = structlog.get_logger(__name__)


class Sink:
    """Writes to one store. Used from one event loop; PostgreSQL is waited for in a thread."""

    def __init__(self, store: ThroughputStore) -> None:
        self._writer = ThroughputWriter(store)
        self._lock = asyncio.Lock()
        self._states: dict[Source, State] = {}
        self._touched: dict[Source, dict[str, set[str]]] = {}
        self._failures = 0
        self._retry_at = 0.0

    async def close_windows(self, source: Source, step: Step) -> None:
        """Store what the step's state forgets: closed windows, and its gap. Waits for PostgreSQL as long as it takes.

        Raises: InvariantBroken.
        """
        batch = Batch()
        for key, cells in step.closed.items():
            batch.add_cells(source, key, cells, step.state["next_offset"])
        if step.gap is not None:
            batch.add_gap(source, step.gap)
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
        touched = self._touched.setdefault(source, {})
        for key in step.closed:
            touched.pop(key, None)
        for key, names in step.touched.items():
            touched.setdefault(key, set()).update(names)

    def restore(self, source: Source, state: State) -> None:
        """Take a state of before a restart, of which the next `flush` stores everything."""
        self._states[source] = state
        self._touched[source] = {key: set(cells) for key, cells in state["windows"].items()}

    async def flush(self) -> None:
        """Store the changes of open windows, unless PostgreSQL is away: then not before a pause. InvariantBroken."""
        now = asyncio.get_running_loop().time()
        if not self._touched or now < self._retry_at:
            return
        taken, self._touched = self._touched, {}
        batch = self._batch(taken)
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

    def _batch(self, taken: dict[Source, dict[str, set[str]]]) -> Batch:
        batch = Batch()
        for source, touched in taken.items():
            state = self._states[source]
            batch.add_position(source, state)
            for key, names in touched.items():
                window: Cells = state["windows"][key]
                batch.add_cells(source, key, {name: window[name] for name in names}, state["next_offset"])
        return batch

    def _put_back(self, taken: dict[Source, dict[str, set[str]]]) -> None:
        """Remember what couldn't be stored, except of windows that closed meanwhile: those are stored."""
        for source, touched in taken.items():
            left = self._touched.setdefault(source, {})
            for key, names in touched.items():
                if key in self._states[source]["windows"]:
                    left.setdefault(key, set()).update(names)
