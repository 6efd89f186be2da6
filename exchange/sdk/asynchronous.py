"""`AsyncAgency`: what `Agency` is, for an event loop. The same code, and so the same guarantees.

The client is written once, as plain functions. Here each call runs in a greenlet of its own: where it would block, it
switches to the loop, which awaits in its stead and goes on with the result, as SQLAlchemy's asyncio does. No threads
wait, so thousands of agencies may; a cancelled call is cancelled where it waits, and its ``finally`` blocks run.

Not guaranteed: that files are read and written without holding up the loop for a piece of 1 MiB; what takes long
(copying a file into the outbox, ``fsync``) is done in a thread. `told` may be called from there.

Source: greenlet; SQLAlchemy 2.0, "Asynchronous I/O", ``greenlet_spawn``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import httpx

from exchange.errors import InvariantBroken, Misconfigured
from exchange.sdk.agency import WAIT_S, Agency
from exchange.sdk.confidential import Content
from exchange.sdk.entries import Decided, Delegation, Published, Receipt, Received, Told, silent
from exchange.sdk.place import Gap
from exchange.sdk.wire import CHUNK_BYTES, Body, Refusal, settings
from exchange.signatures import SigningKey
from exchange.statements import Fields
from exchange.statements.status import ARRIVED

try:
    from greenlet import getcurrent, greenlet
except ModuleNotFoundError as absent:
    _PROBLEM = "greenlet is missing: install the extra `sdk-async` (pip install 'exchange-backbone[sdk-async]')"
    raise Misconfigured([_PROBLEM]) from absent

P = ParamSpec("P")
T = TypeVar("T")


async def spawn(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run plain code that waits by `wait`, and await in its stead."""
    core = greenlet(work)
    step = core.switch(*args, **kwargs)
    while not core.dead:
        try:
            found = await step
        except BaseException as exc:  # noqa: BLE001  a cancellation, too, belongs to whoever waits
            step = core.throw(exc)
        else:
            step = core.switch(found)
    result: T = step
    return result


def wait(awaitable: Awaitable[T]) -> T:
    """In code that `spawn` runs: let the loop await. InvariantBroken anywhere else."""
    loop = getcurrent().parent
    if loop is None:
        raise InvariantBroken("nobody awaits here")
    found: T = loop.switch(awaitable)
    return found


class Looped:
    """A connection that waits in the event loop (see `exchange.sdk.wire.Wire`)."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self._client = httpx.AsyncClient(**settings(url, tls))

    def request(self, method: str, path: str, body: Body, headers: Mapping[str, str], query: Any) -> httpx.Response:  # noqa: ANN401
        """As `Wire` says."""
        content = _flowing(body()) if callable(body) else body or None
        return wait(self._client.request(method, path, content=content, headers=headers, params=query))

    def stream(self, path: str, headers: Mapping[str, str], refusal: Refusal) -> Iterator[bytes]:
        """As `Wire` says."""
        asked = self._client.build_request("GET", path, headers=headers)
        answer = wait(self._client.send(asked, stream=True))
        try:
            if answer.status_code >= 400:
                wait(answer.aread())
                raise refusal(answer)
            pieces = answer.aiter_bytes(CHUNK_BYTES)
            while piece := wait(anext(pieces, b"")):
                yield piece
        finally:
            wait(answer.aclose())

    def pause(self, seconds: float) -> None:
        """As `Wire` says."""
        wait(asyncio.sleep(seconds))

    def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Wire` says: in a thread. Cancelled: it is done to its end all the same, before anything else is."""
        return wait(_to_its_end(asyncio.to_thread(work, *args, **kwargs)))

    def close(self) -> None:
        """As `Wire` says."""
        wait(self._client.aclose())


class _Core(Agency):
    _wire = Looped


class AsyncAgency:
    """An agency at a gateway; arguments as of `Agency`.

    Several tasks may use it: what is sent goes out one call after another, in the order of the calls; reading doesn't
    wait for it. Not for several threads, nor several processes with one folder.
    """

    def __init__(self, code: str, key: SigningKey | Path | str, gateway: str, **more: Any) -> None:  # noqa: ANN401  as `Agency` takes them
        self._core = _Core(code, key, gateway, **more)
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the outbox and the gateway; what waits, waits on disk."""
        async with self._sending:
            await spawn(self._core.close)

    @property
    def code(self) -> str:
        """The agency's code of record."""
        return self._core.code

    @property
    def waiting(self) -> int:
        """How many signed statements wait in the outbox."""
        return self._core.waiting

    async def publish(
        self,
        files: Sequence[Path | str],
        to: Sequence[str],
        subject: str,
        *,
        told: Told = silent,
        leader: SigningKey | None = None,
        **more: Any,  # noqa: ANN401
    ) -> Published:
        """As `Agency.publish`. Cancelled: it was kept and goes out with the next, or it was not kept at all."""
        async with self._sending:
            return await spawn(self._core.publish, files, to, subject, told=told, leader=leader, **more)

    async def publish_batch(
        self,
        documents: Sequence[tuple[Sequence[Path | str], Sequence[str], str]],
        *,
        told: Told = silent,
        **more: Any,  # noqa: ANN401
    ) -> list[Published]:
        """As `Agency.publish_batch`."""
        async with self._sending:
            return await spawn(self._core.publish_batch, documents, told=told, **more)

    async def state(
        self,
        kind: str,
        fields: Fields,
        files: Sequence[tuple[str, Path]] = (),
        *,
        told: Told = silent,
        leader: SigningKey | None = None,
        delegation: Delegation | None = None,
    ) -> Published:
        """As `Agency.state`."""
        async with self._sending:
            return await spawn(self._core.state, kind, fields, files, told=told, leader=leader, delegation=delegation)

    async def acknowledge(self, received: Received, code: int = ARRIVED, reason: str = "") -> Published:
        """As `Agency.acknowledge`."""
        async with self._sending:
            return await spawn(self._core.acknowledge, received, code, reason)

    async def recall(self, published: Published, subject: str) -> Published:
        """As `Agency.recall`."""
        async with self._sending:
            return await spawn(self._core.recall, published, subject)

    def refused(self) -> dict[str, str]:
        """As `Agency.refused`."""
        return self._core.refused()

    async def flush(self, told: Told = silent) -> int:
        """As `Agency.flush`."""
        async with self._sending:
            return await spawn(self._core.flush, told)

    async def inbox(
        self, *, follow: bool = False, wait_s: float = 30.0, kinds: Sequence[str] = ()
    ) -> AsyncGenerator[Received, None]:
        """As `Agency.inbox`. Cancelled while it waits: nothing is lost, what wasn't handed out comes again."""
        items: Generator[Received, None, None] = self._core.inbox(follow=follow, wait_s=wait_s, kinds=kinds)
        try:
            while (received := await spawn(_next, items)) is not None:
                yield received
        finally:
            items.close()

    def gaps(self) -> list[Gap]:
        """As `Agency.gaps`."""
        return self._core.gaps()

    def dealt_with(self, received: Received) -> None:
        """As `Agency.dealt_with`."""
        self._core.dealt_with(received)

    async def save(self, received: Received, folder: Path | str) -> list[Path]:
        """As `Agency.save`."""
        return await spawn(self._core.save, received, folder)

    async def content(self, received: Received) -> Content:
        """As `Agency.content`."""
        return await spawn(self._core.content, received)

    async def trace(self, statement_id: str, sender: str | None = None) -> dict[str, Any]:
        """As `Agency.trace`."""
        return await spawn(self._core.trace, statement_id, sender)

    async def decided(self, receipt: Receipt, wait_s: float = WAIT_S) -> Decided:
        """As `Agency.decided`."""
        return await spawn(self._core.decided, receipt, wait_s)

    async def confirm(self, receipt: Receipt, wait_s: float = WAIT_S) -> Decided:
        """As `Agency.confirm`."""
        return await spawn(self._core.confirm, receipt, wait_s)

    async def lapses(self, receipt: Receipt) -> dict[str, bytes]:
        """As `Agency.lapses`."""
        return await spawn(self._core.lapses, receipt)

    async def find(self, text: str) -> list[dict[str, Any]]:
        """As `Agency.find`."""
        return await spawn(self._core.find, text)

    async def agencies(self) -> AsyncIterator[dict[str, Any]]:
        """As `Agency.agencies`."""
        listed = self._core.agencies()
        while (one := await spawn(_next, listed)) is not None:
            yield one

    async def look_up(self, code: str) -> dict[str, Any] | None:
        """As `Agency.look_up`."""
        return await spawn(self._core.look_up, code)


def _next(items: Iterator[T]) -> T | None:
    return next(items, None)


async def _flowing(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _to_its_end(work: Awaitable[T]) -> T:
    """Await it; cancelled, await it nevertheless, and then be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
