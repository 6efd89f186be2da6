"""The Faust application: from the topic of deltas to windows in a table, to PostgreSQL and the topic of results.

What is fetched together is counted together: one new state of a source partition, one changelog record. That changes
nothing of counts, parts and closed windows (`windows`).

Faust delivers at least once; the counts are exact all the same. The table's one value for a source partition holds
its next offset with its open windows, so a repeat is seen and a gap is, whichever of the two Faust kept longer:

| it dies … | then |
|---|---|
| before the table's change is in its changelog | the delta comes again and is counted |
| after that, before the delta's offset is committed | the delta comes again and is a repeat |
| after a closed window is stored, before the table forgets it | it is folded, closed and stored again, as the same |
| after the offset was committed, the changelog lost | the next delta doesn't join on: what is missing is read again |

A delta that doesn't join on, since others were passed over on the way here, is held against the log (`skipped`). Only
what the log doesn't hold either is a gap. It doesn't stop the counting, since waiting would not fill it: it is an error
in the log, a row that `exchange throughput` answers 1 for until somebody counted again from the start
(docs/decisions/0031).

What Faust must be kept from: docs/decisions/0030.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import faust
import structlog

from exchange import metrics
from exchange.errors import InvariantBroken
from exchange.statements import Fields
from exchange.views.throughput.packing import delta_of, unpack
from exchange.views.throughput.sink import Sink
from exchange.views.throughput.stalling import Handed
from exchange.views.throughput.store import Source
from exchange.views.throughput.windows import Folding, State, Step, window_of

SESSION_TIMEOUT_S = 10.0
COMMIT_INTERVAL_S = 1.0
METADATA_AGE_S_MAX = 5.0
"""A broker just back doesn't know all topics; who is assigned by that has nothing until it asks again."""
PRODUCER_LINGER_S = 0.005
RECORD_BYTES_MAX = 8 * 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Names:
    """What the application is called and reads and writes. `app`: its group; its changelog's name begins with it."""

    app: str = "throughput-v2"
    deltas: str = "throughput.deltas"
    results: str = "throughput"

    @property
    def changelog(self) -> str:
        """The changelog of the table, as Faust names it."""
        return f"{self.app}-windows-changelog"


class Counting:
    """The application. `failed` is told once, by whatever must end the process; nothing is acknowledged after it.

    `skipped`: finds a source's deltas beyond its next offset that lie before an offset of the topic.
    """

    def __init__(
        self, brokers: list[str], names: Names, partitions: int, instance: str, folder: str, sink: Sink,
        failed: Callable[[Exception], None], skipped: Callable[[Source, int, int], list[Fields]],
    ) -> None:  # fmt: skip
        self._sink = sink
        self._failed = failed
        self._skipped = skipped
        self.handed = Handed(0, {}, is_busy=False)
        self.app = faust.App(
            names.app,
            broker=brokers,
            store="memory://",
            datadir=folder,
            processing_guarantee="at_least_once",
            consumer_group_instance_id=instance,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=SESSION_TIMEOUT_S / 4,
            broker_commit_interval=COMMIT_INTERVAL_S,
            consumer_metadata_max_age_ms=int(METADATA_AGE_S_MAX * 1000),
            producer_metadata_max_age_ms=int(METADATA_AGE_S_MAX * 1000),
            producer_linger=PRODUCER_LINGER_S,
            producer_max_request_size=RECORD_BYTES_MAX,
            consumer_max_fetch_size=RECORD_BYTES_MAX,
            topic_partitions=partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            web_enabled=False,
            web_tables_enabled=False,
            autodiscover=False,
        )
        deltas = self.app.topic(names.deltas, key_serializer="raw", value_serializer="raw", partitions=partitions)
        self._results = self.app.topic(
            names.results, key_serializer="raw", value_serializer="raw", partitions=partitions
        )
        self._table = self.app.Table("windows", partitions=partitions)
        self._table.on_recover(self._recovered)
        self.app.agent(deltas, name="count", concurrency=1)(self._run)

    async def _run(self, stream: Any) -> None:  # noqa: ANN401  Faust's stream
        """Count fetch by fetch; an offset is acknowledged only after its deltas are in the table."""
        events = cast(AsyncIterator[Any], stream.noack().events())
        async for event in events:
            partition, offset = event.message.partition, event.message.offset
            self.handed = Handed(self.handed.records + 1, {**self.handed.offsets, partition: offset}, is_busy=True)
            try:
                await self._count(partition, event.value)
            except Exception as exc:
                self._failed(exc)
                raise
            event.ack()
            self.handed = self.handed._replace(is_busy=False)

    async def _count(self, partition: int, packed: bytes) -> None:
        """Count what was fetched together: each source's deltas in their order, then one new state of each."""
        foldings: dict[Source, Folding] = {}
        repeats = counted = 0
        for offset, append_ms, value in unpack(packed):
            delta = delta_of(value, append_ms)
            source: Source = (delta["topic"], delta["partition"])
            if delta["partition"] != partition:
                raise InvariantBroken(f"a delta of {source} in partition {partition}")
            folding = foldings.get(source)
            if folding is None:
                folding = foldings[source] = Folding(cast("State | None", self._table.get(_key(source))))
            if folding.is_repeat(delta):
                repeats += 1
                continue
            if not folding.joins_on(delta):
                await self._look_back(folding, source, offset)
            folding.add(delta)
            counted += 1
        if repeats:
            log.info("throughput.repeats", partition=partition, deltas=repeats)
            metrics.THROUGHPUT_DELTAS.labels("repeat").inc(repeats)
        await self._take({source: folding.step() for source, folding in foldings.items() if folding.has_counted})
        metrics.THROUGHPUT_DELTAS.labels("counted").inc(counted)
        metrics.THROUGHPUT_COUNTED.set_to_current_time()

    async def _look_back(self, folding: Folding, source: Source, offset: int) -> None:
        """Add the deltas that were passed over before this offset, as far as the log has them."""
        missed = await asyncio.to_thread(self._skipped, source, folding.next_offset, offset)
        for one in missed:
            folding.add(one)
        if missed:
            log.warning("throughput.skipped", source=_key(source), deltas=len(missed))
            metrics.THROUGHPUT_DELTAS.labels("skipped").inc(len(missed))

    async def _take(self, steps: dict[Source, Step]) -> None:
        """Store what is closed, then change the table."""
        for (topic, number), step in steps.items():
            for gap in step.gaps:
                log.error("throughput.gap", topic=topic, partition=number, **gap._asdict())
        if any(step.closed or step.gaps for step in steps.values()):
            await asyncio.gather(self._sink.close_windows(steps), self._publish(steps))
        for source, step in steps.items():
            self._table[_key(source)] = step.state
            self._sink.keep(source, step)

    async def _publish(self, steps: dict[Source, Step]) -> None:
        """Append the closed windows, each a record of all its cells, and wait until the broker has them."""
        sent = [
            await self._results.send(
                key=f"{key}/{_key(source)}".encode(),
                value=json.dumps(
                    {**window_of(key)._asdict(), "source": _key(source), "cells": cells,
                     "next_offset": step.state["next_offset"]}, separators=(",", ":")
                ).encode(),
                partition=source[1],
                force=True,
            )
            for source, step in steps.items()
            for key, cells in step.closed.items()
        ]  # fmt: skip
        for message in sent:
            await message

    async def _recovered(self, *_: object) -> None:
        """Store all open windows again: PostgreSQL may have missed the last ones."""
        for key, state in self._table.items():
            topic, _, partition = key.rpartition("/")
            self._sink.restore((topic, int(partition)), state)


def _key(source: Source) -> str:
    """The table's key."""
    return f"{source[0]}/{source[1]}"
