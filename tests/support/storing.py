"""A gateway that stores attachments and does nothing else: the real addresses, over a folder, without Kafka.

`python -m tests.support.storing FOLDER PORT` is one as a process, to be killed. Whoever has `TOKEN` of an agency is let
in; `SUSPENDED` is suspended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import uvicorn

from exchange.backbone.attachments import Attachments
from exchange.gateway import Gateway, Limits, create_app
from exchange.gateway.connections import Connection
from exchange.gateway.files import Files
from exchange.gateway.quotas import Buckets, Slots
from exchange.gateway.tokens import Session, mint
from exchange.gateway.uploads import Uploads
from exchange.local.waiting import wait_until

KEY = b"k" * 32
SUSPENDED = "H99.9"
_VIEW = SimpleNamespace(suspension=lambda code: "suspended" if code == SUSPENDED else None)
ADDRESS = "127.0.0.1"


def token_of(agency: str) -> str:
    """An access token that every such gateway takes."""
    return mint(KEY, Session(agency, b"c" * 32, int(time.time() * 1000) + 3_600_000))


def gateway(folder: Path) -> Gateway:
    """Its parts. Every certificate is the seal of whoever the token names."""
    limits = Limits(requests_per_s=1e6, requests_burst=1_000_000)
    files = Files(Attachments(folder, KEY))
    found: Any = SimpleNamespace(
        deployment=SimpleNamespace(public_url=f"http://{ADDRESS}", token_key=KEY),
        ledger=None,
        limits=limits,
        clock=lambda: int(time.time() * 1000),
        directory=SimpleNamespace(trust=_Trust(), agency=lambda code: SimpleNamespace(code=code), view=_VIEW),
        requests=Buckets(limits.requests_per_s, limits.requests_burst),
        uploads=Slots(limits.uploads),
        files=files,
        uploading=Uploads(files, limits),
    )
    return cast(Gateway, found)


class _Anybody(str):
    """Equal to every code: the token alone says who it is."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = str.__hash__


class _Trust:
    def signer(self, _: bytes, __: int) -> Any:  # noqa: ANN401
        return SimpleNamespace(agency=_Anybody("anybody"))


@contextmanager
def process(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """One that answers, killed when the block ends."""
    child = subprocess.Popen([sys.executable, "-m", "tests.support.storing", str(folder), str(port)])
    try:
        assert wait_until(lambda: _answers(port), 60)
        yield child
    finally:
        child.kill()
        child.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{ADDRESS}:{port}/v1/openapi.json", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def main() -> None:
    """Serve until killed."""
    app = create_app(gateway(Path(sys.argv[1])))
    config = uvicorn.Config(
        app, ADDRESS, int(sys.argv[2]), http=Connection, lifespan="off", log_config=None, access_log=False, ws="none"
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
