"""A connector's own HTTP server: uvicorn with bounds, and an orderly end.

Guarantees: SIGINT and SIGTERM let what is being answered be answered, and end the process as done; a second one breaks
off. Proxies' headers aren't believed.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

LOOPBACK = "127.0.0.1"
KEEP_ALIVE_S = 75
GRACE_S = 10
HEADER_BYTES_MAX = 32 * 1024
_STOPS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Serves an application. `certificate`, `key`: PEM files, for TLS."""

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        connections_max: int,
        host: str = LOOPBACK,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http="h11",  # its limits are counted on; uvicorn would take whichever parser is installed
                ws="none",
                limit_concurrency=connections_max,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                ssl_certfile=certificate,
                ssl_keyfile=None if key is None else str(key),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let a signal stop it."""
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
