"""Plain code that waits in an event loop: results, errors and cancellations arrive where it waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from exchange.errors import InvariantBroken
from exchange.sdk.asynchronous import _to_its_end, spawn, wait


async def answered(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def failed() -> None:
    await asyncio.sleep(0)
    raise LookupError


async def test_results_and_errors() -> None:
    def core(first: int) -> int:
        with pytest.raises(LookupError):
            wait(failed())
        return wait(answered(first)) + wait(answered(2))

    assert await spawn(core, 1) == 3
    with pytest.raises(LookupError):
        await spawn(lambda: wait(failed()))


async def test_thousands_wait_at_once_and_in_one_thread() -> None:
    threads = set[int]()

    def core(number: int) -> int:
        wait(asyncio.sleep(0.01))
        threads.add(threading.get_ident())
        return number

    assert await asyncio.gather(*(spawn(core, number) for number in range(2000))) == list(range(2000))
    assert threads == {threading.get_ident()}


async def test_a_cancellation_ends_it_where_it_waits() -> None:
    steps: list[str] = []

    def core() -> None:
        try:
            steps.append("waits")
            wait(asyncio.Event().wait())
        finally:
            steps.append("leaves")

    task = asyncio.create_task(spawn(core))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["waits", "leaves"]


async def test_a_generator_goes_on_from_call_to_call() -> None:
    def items() -> Iterator[int]:
        for number in range(3):
            yield wait(answered(number))

    one = items()
    assert [await spawn(next, one, None) for _ in range(4)] == [0, 1, 2, None]


async def test_what_was_begun_on_the_disk_is_done_before_a_cancellation_goes_on() -> None:
    done, may = threading.Event(), threading.Event()

    def work() -> None:
        may.wait(10)
        done.set()

    task = asyncio.create_task(_to_its_end(asyncio.to_thread(work)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


def test_outside_nobody_awaits() -> None:
    coroutine = answered(1)
    with pytest.raises(InvariantBroken):
        wait(coroutine)
    coroutine.close()
