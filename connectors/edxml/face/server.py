"""Serving the face: TLS except on the loopback address."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from connectors.edxml.connector import Connector
from connectors.edxml.face.app import Face, create_app
from connectors.edxml.face.secrets import Secrets
from connectors.shared.server import LOOPBACK, Server
from exchange.errors import Misconfigured

CONNECTIONS_MAX = 200


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


class FaceServer(Server):
    """The server of a face."""

    def __init__(self, face: Face, listening: Listening) -> None:
        self._face = face
        super().__init__(
            create_app(face), listening.port, CONNECTIONS_MAX, listening.host, listening.certificate, listening.key
        )

    async def serve_and_follow(self) -> None:
        """Serve until a signal, and take in what arrives meanwhile. A bug there ends the serving too."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._face.follow())
            await self.serve()
            following.cancel()


def serve(connector: Connector, secrets: Secrets, listening: Listening) -> None:
    """Serve until a signal."""
    asyncio.run(FaceServer(Face(connector, secrets), listening).serve_and_follow())
