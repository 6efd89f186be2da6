"""What of open windows is written when: the levels at once, many changes of subtrees together, all of it in the end."""

from __future__ import annotations

import asyncio
from typing import Any

from exchange.errors import Unavailable
from exchange.pipeline.columns import Columns
from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.sink import SUBTREES_MAX, Sink
from exchange.views.throughput.store import Batch
from exchange.views.throughput.windows import fold

SOURCE = ("documents", 0)
NOON = 29_000_160


class Recording:
    """In place of the writer: keeps what it is given, or fails."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.is_away = False

    def write(self, batch: Batch) -> None:
        if self.is_away:
            raise Unavailable("postgres.unavailable", "away")
        self.batches.append(batch)


def sink() -> tuple[Sink, Recording]:
    made, recording = Sink(ThroughputStore("postgresql://nowhere")), Recording()
    made._writer = recording  # type: ignore[assignment]
    return made, recording


def delta(first: int, paths: int) -> dict[str, Any]:
    """A document from each of so many subtrees."""
    cell = {
        "minute": NOON, "kind": "document", "outcome": "accepted", "code": "", "urgency": 0, "sender_level": 1,
        "recipient_level": 0, "documents": paths, "deliveries": 0, "bytes": 0,
    }  # fmt: skip
    minute = {**Columns().fields(NOON), "senders": " ".join(f"G00/H{n}" for n in range(paths))}
    return {
        "topic": "documents", "partition": 0, "previous_next_offset": first, "next_offset": first + paths,
        "cells": [cell], "minutes": [minute], "append_ms": NOON * 60_000,
    }  # fmt: skip


def test_many_changes_of_subtrees_wait_for_more_and_few_do_not() -> None:
    async def story() -> None:
        made, written = sink()
        made._subtrees_at = asyncio.get_running_loop().time() + 1000  # as if they had just been written
        few = fold(None, delta(0, SUBTREES_MAX))
        made.keep(SOURCE, few)
        await made.flush()
        assert len(written.batches[-1].subtrees) == SUBTREES_MAX
        many = fold(few.state, delta(SUBTREES_MAX, SUBTREES_MAX + 1))
        made._subtrees_at = asyncio.get_running_loop().time() + 1000
        made.keep(SOURCE, many)
        await made.flush()
        batch = written.batches[-1]
        assert (len(batch.cells), len(batch.subtrees), len(batch.positions)) == (3, 0, 1)
        await made.flush()
        assert written.batches[-1] is batch  # nothing else changed
        made._subtrees_at = 0.0
        await made.flush()
        assert len(written.batches[-1].subtrees) == SUBTREES_MAX + 1

    asyncio.run(story())


def test_the_last_flush_leaves_nothing() -> None:
    async def story() -> None:
        made, written = sink()
        made._subtrees_at = asyncio.get_running_loop().time() + 1000
        made.keep(SOURCE, fold(None, delta(0, SUBTREES_MAX + 1)))
        await made.flush(is_last=True)
        assert len(written.batches[-1].subtrees) == SUBTREES_MAX + 1

    asyncio.run(story())


def test_what_could_not_be_written_is_written_later() -> None:
    async def story() -> None:
        made, written = sink()
        step = fold(None, delta(0, 3))
        made.keep(SOURCE, step)
        written.is_away = True
        await made.flush()
        written.is_away, made._retry_at = False, 0.0
        await made.flush()
        [batch] = written.batches
        assert (len(batch.cells), len(batch.subtrees), len(batch.positions)) == (3, 3, 1)

    asyncio.run(story())


def test_after_a_restart_all_is_written_again_and_no_row_twice() -> None:
    """PostgreSQL refuses a statement that has a row twice."""

    async def story() -> None:
        made, written = sink()
        before = fold(None, delta(0, 3))
        made.restore(SOURCE, before.state)
        made.keep(SOURCE, fold(before.state, delta(3, 4)))
        await made.flush()
        [batch] = written.batches
        assert (len(batch.cells), len(batch.subtrees), len(batch.positions)) == (3, 4, 1)
        for rows in (batch.cells, batch.subtrees, batch.sketches):
            assert len(set(rows)) == len(rows)

    asyncio.run(story())
