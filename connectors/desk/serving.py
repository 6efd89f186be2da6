"""Serving the desk on the loopback address, and taking in what arrives beside it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from connectors.desk.app import create_app
from connectors.desk.clerk import Clerk
from connectors.desk.guard import OPEN, Keeper
from connectors.shared.following import follow
from connectors.shared.server import LOOPBACK, Server


class Desk:
    """A desk at a port. `metrics`: file for its figures."""

    def __init__(self, clerk: Clerk, port: int, metrics: Path | None = None) -> None:
        self._clerk = clerk
        self._metrics = metrics
        self._keeper = Keeper(port)
        self._is_online = True
        self._stop = threading.Event()
        self.server = Server(create_app(clerk, self._keeper, lambda: self._is_online), port, clerk.limits.connections)
        self.url = f"http://{LOOPBACK}:{port}{OPEN}?token={self._keeper.token}"

    async def serve(self) -> None:
        """Serve until a signal. A bug in what runs beside it ends the serving too."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(asyncio.to_thread(follow, self._turn, self._stop, self._clerk.figures))
            try:
                await self.server.serve()
            finally:
                self._stop.set()
            await following

    def _turn(self) -> bool:
        try:
            is_busy = self._clerk.turn()
        except Exception:
            self._is_online = False
            raise
        self._is_online = True
        if self._metrics is not None:
            self._clerk.figures.write(self._metrics)
        return is_busy
