"""Following the inboxes goes on whatever the client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from exchange.errors import InvariantBroken
from exchange.gateway import tail
from exchange.gateway.recent import Recent
from exchange.gateway.tail import Tail
from exchange.pipeline.routing import INBOX_TOPICS


class Client:
    """A client that fails in one way as soon as it is asked for records, and says that it was asked."""

    def __init__(self, failure: BaseException, asked: list[BaseException]) -> None:
        self._failure = failure
        self._asked = asked

    async def start(self) -> None:
        """Connect to nothing."""

    async def stop(self) -> None:
        """Leave nothing."""

    def assign(self, _: object) -> None:
        """Be assigned nothing."""

    def seek(self, _: object, __: object) -> None:
        """Stay."""

    def getmany(self, **_: Any) -> Awaitable[object]:  # noqa: ANN401
        """Fail."""
        self._asked.append(self._failure)
        raise self._failure


async def fate(monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]) -> list[BaseException]:
    """Run a tail whose clients fail in turn; what they were asked when the last one was."""
    asked: list[BaseException] = []
    waiting = iter(failures)
    monkeypatch.setattr(tail, "PAUSE_S", 0)
    monkeypatch.setattr(tail, "kafka", SimpleNamespace(consumer=lambda _: Client(next(waiting), asked)))
    recent = Recent(1000)
    for topic in INBOX_TOPICS.values():
        recent.begin((topic, 0), 0)
    await Tail({}, 1, recent).run()
    return asked


async def test_a_client_that_lets_a_cancellation_out_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen when the broker went away: the tail ended without a word and long polls stayed empty for ever."""
    failures = [asyncio.CancelledError(), KafkaConnectionError(), TimeoutError(), InvariantBroken("the end")]
    with pytest.raises(InvariantBroken, match="the end"):
        await asyncio.wait_for(fate(monkeypatch, failures), 10)


async def test_our_own_cancellation_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forever: list[BaseException] = [KafkaConnectionError()] * 1_000_000
    task = asyncio.create_task(fate(monkeypatch, forever))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
