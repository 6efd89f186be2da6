"""Running the counting: starting and watching Faust, flushing what it counted, stopping in order.

Guarantees: whatever Faust only warns of though it means a damaged table ends the process (`FATAL`); so does any
error in the counting, and that nothing comes though there is more (`stalling`). Then nothing more is acknowledged, and
the next start goes on from the changelog.
Does not: hurry or hold up the hop; while PostgreSQL is away it waits.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event

import structlog

from exchange.backbone.clients import Config, reader
from exchange.backbone.reading import partitions_of
from exchange.errors import ExchangeError, InvariantBroken, Misconfigured, Unavailable
from exchange.statements import Fields
from exchange.views.throughput.counting import Counting, Names
from exchange.views.throughput.sink import Sink
from exchange.views.throughput.skipped import skipped
from exchange.views.throughput.stalling import Progress
from exchange.views.throughput.store import Source, ThroughputStore
from exchange.views.throughput.transport import broker_urls

FLUSH_S = 0.8
"""How often changes of open windows are stored, and how soon a stop is noticed."""
STOP_TIMEOUT_S = 20.0
RETRY_S = 1.0

FATAL = ("Error in recovery", "recovery unknown topic", "POSSIBLE INTERNAL ERROR")
"""Beginnings of what Faust's tables log when they lose something or hang."""

_LOGGERS = ("faust", "mode", "aiokafka")

log = structlog.get_logger(__name__)


def count(base: Config, store: ThroughputStore, stop: Event, names: Names | None = None) -> None:
    """Count until `stop` is set.

    Raises: Misconfigured, InvariantBroken: both need a person. Unavailable: start it again.
    """
    names = names or Names()
    if "security.protocol" in base or "sasl.mechanism" in base:
        raise Misconfigured(["the throughput's Faust connects without TLS and SASL only"])
    partitions = _partitions(base, names)
    _await_store(store, stop)
    with tempfile.TemporaryDirectory(prefix="exchange-throughput-") as folder:
        found = partial(skipped, base, names.deltas)
        worker = _Worker(base, names, partitions, folder, store, found)
        asyncio.run(worker.run(stop))


def _partitions(base: Config, names: Names) -> int:
    """The partitions of the deltas; Misconfigured unless all of the application's topics have as many."""
    asking = reader(base)
    try:
        counts = {name: len(partitions_of(asking, name)) for name in (names.deltas, names.results, names.changelog)}
    finally:
        asking.close()
    wanted = counts[names.deltas]
    problems = [
        f"topic {name} has {found} partitions, not {wanted}" for name, found in counts.items() if found != wanted
    ]
    if problems:
        raise Misconfigured(problems)
    return wanted


def _await_store(store: ThroughputStore, stop: Event) -> None:
    while not stop.is_set():
        try:
            store.prepare()
            return
        except Unavailable as exc:
            log.warning("throughput.waiting", code=exc.code, detail=exc.detail, pause_s=RETRY_S)
        stop.wait(RETRY_S)


class _Worker:
    """One life of the application in one event loop."""

    def __init__(
        self, base: Config, names: Names, partitions: int, folder: str, store: ThroughputStore,
        skipped: Callable[[Source, int, int], list[Fields]],
    ) -> None:  # fmt: skip
        self._arguments = (broker_urls(base["bootstrap.servers"]), names, partitions, f"{names.app}-1", folder)
        self._base, self._names, self._partitions = base, names, partitions
        self._skipped = skipped
        self._store = store
        self._failure: BaseException | None = None

    async def run(self, stop: Event) -> None:
        sink = Sink(self._store)
        with _watching(self._fail):
            counting = Counting(*self._arguments, sink, self._fail, self._skipped)
            clock = asyncio.get_running_loop().time
            progress = Progress(self._base, self._names.app, self._names.deltas, self._partitions, clock())
            starting = asyncio.create_task(counting.app.start())
            starting.add_done_callback(self._started)
            try:
                while not stop.is_set():
                    self._check(counting)
                    await sink.flush()
                    if starting.done():
                        await progress.check(counting.handed, clock())
                    await asyncio.sleep(FLUSH_S)
            finally:
                await self._stop(counting, starting)
                await sink.flush(is_last=True)
                sink.end()

    async def _stop(self, counting: Counting, starting: asyncio.Task[None]) -> None:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await counting.app.stop()
        except TimeoutError:
            log.warning("throughput.stop_timeout", timeout_s=STOP_TIMEOUT_S)
        starting.cancel()

    def _fail(self, exc: BaseException) -> None:
        if self._failure is None:
            self._failure = exc

    def _started(self, starting: asyncio.Task[None]) -> None:
        if starting.cancelled():
            return
        failure = starting.exception()
        if failure is not None:
            self._fail(failure)
        else:
            log.info("throughput.started")

    def _check(self, counting: Counting) -> None:
        """Raise whatever must end the process."""
        failure = self._failure or counting.app.crash_reason
        if isinstance(failure, ExchangeError):
            raise failure
        if failure is not None:
            raise Unavailable("throughput.faust", repr(failure)) from failure


@contextmanager
def _watching(fail: Callable[[Exception], None]) -> Iterator[None]:
    """Listen to the libraries' warnings: each goes to our log, a fatal one to `fail` too."""
    watch = _Watch(fail)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(watch)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(watch)


class _Watch(logging.Handler):
    def __init__(self, fail: Callable[[Exception], None]) -> None:
        super().__init__(logging.WARNING)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        log.warning("throughput.library_warns", logger=record.name, message=message[:500])
        if record.name.startswith("faust.tables") and message.startswith(FATAL):
            self._fail(InvariantBroken(f"Faust lost hold of its table: {message}"))
