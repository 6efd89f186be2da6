"""Serving a console with uvicorn, until a signal.

Guarantees: it listens on the loopback address only, for nobody logs in yet (see `session`). Stopping doesn't wait for
open pages: a browser comes back by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from exchange.console.app import create_app
from exchange.console.deployment import Deployment
from exchange.errors import Misconfigured

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
CONNECTIONS_MAX = 1_000
GRACE_S = 2
_STOPS = (signal.SIGINT, signal.SIGTERM)


def listen(port: int) -> socket.socket:
    """Take a port of the loopback address. Raises: Misconfigured if it is taken."""
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as exc:
        raise Misconfigured([f"can't listen on port {port} of {LOOPBACK}: {os.strerror(exc.errno or 0)}"]) from exc


class _Server(uvicorn.Server):
    """uvicorn's server that a signal ends in good order, with the exit code of the command."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOPS:
                loop.remove_signal_handler(number)


async def serve(deployment: Deployment, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        create_app(deployment, NAMES),
        http="h11",
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=1_000_000,
    )
    await _Server(config).serve([listener])
