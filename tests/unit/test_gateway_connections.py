"""Connections to a real uvicorn: whose head doesn't come is let go, and what is no HTTP gets a problem."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import Request

from exchange.gateway import bodies, connections
from exchange.gateway.bodies import whole
from exchange.gateway.connections import Connection
from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
DRIP_S = 0.05


async def hello(scope: Any, _: Any, send: Any) -> None:  # noqa: ANN401  ASGI
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(hello, http=Connection, lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes."""
    with suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 10)
    return b""


async def test_who_says_nothing_is_let_go(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ended(reader) == b""
    writer.close()


@pytest.mark.parametrize("before", [b"", GET], ids=["the first", "a later one"])
async def test_a_head_that_drips_is_let_go(port: int, before: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if before:
        writer.write(before)
        assert b"200 OK" in await reader.readuntil(b"hi")
    writer.write(b"GET / HTTP/1.1\r\n")
    began, said = time.monotonic(), b""
    while not reader.at_eof() and time.monotonic() - began < 10:
        writer.write(b"x: y\r\n")
        with suppress(TimeoutError, ConnectionResetError):
            said += await asyncio.wait_for(reader.read(100), DRIP_S)
    assert said == b""
    assert 0.4 < time.monotonic() - began < 5
    writer.close()


async def test_who_asks_is_answered_and_may_ask_again(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        for byte in (GET[:5], GET[5:]):
            writer.write(byte)
            await writer.drain()
        assert b"200 OK" in await reader.readuntil(b"hi")
    writer.close()


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n"])
async def test_what_is_no_http_gets_a_problem(port: int, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(noise + b"\r\n\r\n")
    head, _, body = (await ended(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "request.malformed"
    writer.close()


@pytest.mark.parametrize(("bytes_a_second", "code"), [(100, "request.too_slow"), (10_000, "")])
async def test_a_body_that_drips_is_let_go(monkeypatch: pytest.MonkeyPatch, bytes_a_second: int, code: str) -> None:
    now = 0.0

    async def receive() -> dict[str, Any]:
        nonlocal now
        now += 1.0
        return {"type": "http.request", "body": bytes(bytes_a_second), "more_body": now < 60}

    monkeypatch.setattr(bodies, "time", SimpleNamespace(monotonic=lambda: now))
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    try:
        assert len(await whole(request, 10**9, Limits())) == 60 * bytes_a_second
        found = ""
    except Refused as exc:
        found = exc.code
    assert found == code
