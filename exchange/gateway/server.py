"""Serving a gateway with uvicorn: addresses, TLS, bounds of connections, and an orderly end.

Guarantees: without a certificate it listens on the loopback address only. A stop lets long polls answer at once and
running requests end; a bug of a task of ours ends the process instead of serving on without it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import uvicorn

from exchange.errors import Misconfigured
from exchange.gateway.app import create_app
from exchange.gateway.connections import Connection
from exchange.gateway.limits import Limits
from exchange.gateway.peers import context
from exchange.gateway.state import Deployment, Gateway, running

LOOPBACK = "127.0.0.1"
CONNECTIONS_MAX = 10_000
KEEP_ALIVE_S = 75
GRACE_S = 10
HEADER_BYTES_MAX = 32 * 1024
_STOPS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen. `certificate`, `key`: PEM files; both or none."""

    port: int
    host: str = LOOPBACK
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        problems = []
        if (self.certificate is None) != (self.key is None):
            problems.append("TLS needs both a certificate and its key")
        if self.certificate is None and self.host != LOOPBACK:
            problems.append(f"without TLS the gateway listens on {LOOPBACK} only, not on {self.host}")
        problems += [f"{path} can't be read" for path in (self.certificate, self.key) if path and not path.is_file()]
        if problems:
            raise Misconfigured(problems)

    @property
    def pair(self) -> tuple[Path, Path] | None:
        """Certificate and key, if there are."""
        return None if self.certificate is None or self.key is None else (self.certificate, self.key)

    @property
    def scheme(self) -> str:
        """``https``, or ``http`` on the loopback address."""
        return "http" if self.certificate is None else "https"


class Server(uvicorn.Server):
    """uvicorn's server that ends the long polls before it waits for them."""

    def __init__(self, gateway: Gateway, listening: Listening) -> None:
        self._gateway = gateway
        pair = listening.pair
        secured = None if pair is None else context(*pair, gateway.directory)
        super().__init__(
            uvicorn.Config(
                create_app(gateway),
                host=listening.host,
                port=listening.port,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                ws="none",
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                http=Connection,  # h11, whose limits are counted on
                ssl_context_factory=None if secured is None else lambda _config, _default: secured,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop it in good order; uvicorn's own way would then end the process by the signal,
        before the producer has sent what it holds. A second one breaks connections off."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOPS:
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Let whoever waits for an inbox go home, then stop in uvicorn's order."""
        self._gateway.recent.close()
        await super().shutdown(sockets)


async def serve(deployment: Deployment, listening: Listening, limits: Limits | None = None) -> None:
    """Serve until a signal. Raises: Unavailable, Misconfigured before it serves; what a task died of, as a group."""
    async with running(deployment, limits or Limits()) as gateway:
        await Server(gateway, listening).serve()
