"""An agency's inbox for the gateway: pages of its own deliveries, from memory or from the log, with long polls.

Guarantees: what a page holds names the caller, lies at or after the cursor, and comes in the inbox's order; the
cursor after a page misses nothing. At least once: who asks again with an old cursor gets the same again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Set
from contextlib import aclosing
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from exchange.agencies import Agency
from exchange.backbone.clients import Config
from exchange.errors import Unavailable
from exchange.gateway import cursors, kafka
from exchange.gateway.deliveries import Delivery, delivery_of, kind_of
from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused
from exchange.gateway.recent import Place, Recent
from exchange.pipeline.routing import INBOX_TOPICS, inbox_partition

SCAN_WAIT_MS = 200
SCAN_SILENCE_S = 20.0


@dataclass(slots=True)
class Page:
    """Deliveries with their kinds, the offset to go on from, and whether there is more already."""

    position: int
    found: list[tuple[str, Delivery]] = field(default_factory=list)
    more: bool = False
    size_bytes: int = 0


class Inboxes:
    """All inboxes, read for whoever asks. `partitions`: of every inbox topic."""

    def __init__(self, base: Config, partitions: int, recent: Recent, limits: Limits) -> None:
        self._base = base
        self._partitions = partitions
        self._recent = recent
        self._limits = limits
        self._scans = asyncio.Semaphore(limits.scans)

    def cursor(self, agency: Agency, offset: int) -> str:
        """The cursor of an offset in the agency's inbox."""
        return cursors.encode(agency.level, inbox_partition(agency.code, self._partitions), offset)

    async def page(self, agency: Agency, cursor: str | None, wait_s: float, limit: int, kinds: Set[str]) -> Page:
        """The next deliveries after `cursor` (None: the oldest kept); waits for the first at most `wait_s`.

        `kinds`: only these; all if empty. Raises: Refused ``cursor.invalid``, ``cursor.expired``; Unavailable.
        """
        partition = inbox_partition(agency.code, self._partitions)
        place = (INBOX_TOPICS[agency.level], partition)
        start = -1 if cursor is None else cursors.decode(cursor, agency.level, partition)
        deadline = time.monotonic() + wait_s
        with self._recent.waiting(agency.code) as arrived:
            while True:
                arrived.clear()
                page = await self._read(place, start, agency.code, limit, kinds)
                left = deadline - time.monotonic()
                if page.found or page.more or left <= 0 or self._recent.is_closing:
                    return page
                start = page.position
                try:
                    await asyncio.wait_for(arrived.wait(), left)
                except TimeoutError:
                    return page

    async def _read(self, place: Place, start: int, code: str, limit: int, kinds: Set[str]) -> Page:
        page = Page(start)
        if start > self._recent.next(place):
            raise Refused("cursor.invalid", f"{start} is not written yet")
        if start < self._recent.first(place) or start < 0:
            await self._from_log(page, place, code, limit, kinds)
        if page.position < self._recent.first(place):  # memory went on meanwhile
            page.more = True
        elif not page.more:
            self._from_memory(page, place, code, limit, kinds)
        return page

    def _from_memory(self, page: Page, place: Place, code: str, limit: int, kinds: Set[str]) -> None:
        for held in self._recent.since(place, page.position):
            if not self._take(page, held, code, limit, kinds):
                return
        page.position = self._recent.next(place)

    async def _from_log(self, page: Page, place: Place, code: str, limit: int, kinds: Set[str]) -> None:
        """Read what is no longer, or was never, in memory; a long way in several answers."""
        read_bytes = 0
        async with self._scans, aclosing(self._scan(place, page.position)) as scan:
            async for delivery, position in scan:
                if delivery is None:
                    page.position = position
                elif not self._take(page, delivery, code, limit, kinds):
                    return
                else:
                    read_bytes += delivery.size_bytes
                    if read_bytes > self._limits.scan_bytes:
                        page.more = True
                        return

    def _take(self, page: Page, delivery: Delivery, code: str, limit: int, kinds: Set[str]) -> bool:
        """Add a delivery if it is the agency's and wanted; False if the page was full before it."""
        if code in delivery.recipients:
            kind = kind_of(delivery)
            if not kinds or kind in kinds:
                if len(page.found) >= limit or page.size_bytes > self._limits.page_bytes:
                    page.position, page.more = delivery.offset, True
                    return False
                page.found.append((kind, delivery))
                page.size_bytes += len(delivery.record)
        page.position = delivery.offset + 1
        return True

    async def _scan(self, name: Place, start: int) -> AsyncGenerator[tuple[Delivery | None, int]]:
        """Everything from `start` (-1: the oldest kept) to where memory begins; then (None, that offset)."""
        place, until = TopicPartition(*name), self._recent.first(name)
        consumer = kafka.consumer(self._base)
        try:
            await consumer.start()
            consumer.assign([place])
            position = start if start >= 0 else (await consumer.beginning_offsets([place]))[place]
            consumer.seek(place, position)
            heard = time.monotonic()
            while position < until:
                for messages in (await consumer.getmany(timeout_ms=SCAN_WAIT_MS, max_records=500)).values():
                    for message in messages:
                        if message.offset < until:
                            yield delivery_of(message), message.offset + 1
                moved = await consumer.position(place)
                if moved > position:
                    position, heard = moved, time.monotonic()
                elif time.monotonic() - heard > SCAN_SILENCE_S:
                    raise Unavailable("kafka.silent", f"{place} at {position} of {until}")
            yield None, until
        except OffsetOutOfRangeError as exc:
            if start < 0:  # the oldest left while we went there
                raise Unavailable("inbox.moved", repr(exc)) from exc
            raise Refused("cursor.expired", repr(exc)) from exc
        except KafkaError as exc:
            raise Unavailable("kafka.unavailable", repr(exc)) from exc
        finally:
            await consumer.stop()
