"""Serving the face with uvicorn: TLS except on the loopback address, bounds of connections, an orderly end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from connectors.edxml.connector import Connector
from connectors.edxml.face.app import Face, create_app
from connectors.edxml.face.secrets import Secrets
from exchange.errors import Misconfigured

LOOPBACK = "127.0.0.1"
CONNECTIONS_MAX = 200
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
            problems.append(f"without TLS the face listens on {LOOPBACK} only, not on {self.host}: secrets go over it")
        problems += [f"{path} can't be read" for path in (self.certificate, self.key) if path and not path.is_file()]
        if problems:
            raise Misconfigured(problems)

    @property
    def url(self) -> str:
        """What systems call it."""
        return f"{'http' if self.certificate is None else 'https'}://{self.host}:{self.port}"


class Server(uvicorn.Server):
    """The server of a face."""

    def __init__(self, face: Face, listening: Listening) -> None:
        self._face = face
        super().__init__(
            uvicorn.Config(
                create_app(face),
                host=listening.host,
                port=listening.port,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http="h11",  # its limits are counted on; uvicorn would take whichever parser is installed
                ws="none",
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                ssl_certfile=listening.certificate,
                ssl_keyfile=None if listening.key is None else str(listening.key),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop it in good order, and end the process as done; a second one breaks off."""
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

    async def serve_and_follow(self) -> None:
        """Serve until a signal, and take in what arrives meanwhile. A bug there ends the serving too."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._face.follow())
            await self.serve()
            following.cancel()


def serve(connector: Connector, secrets: Secrets, listening: Listening) -> None:
    """Serve until a signal."""
    asyncio.run(Server(Face(connector, secrets), listening).serve_and_follow())
