"""Mutual TLS in a real handshake: which certificates pass it, and that the application learns whose it was."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchange.errors import Misconfigured
from exchange.gateway import peers
from exchange.gateway.connections import PEER, Connection
from exchange.gateway.directory import LiveDirectory
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issued, KeyKind
from tests.support.gateways import self_signed

NOW_MS = int(time.time() * 1000)
CODE = "H37.02"
GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def tells(scope: Any, _: Any, send: Any) -> None:  # noqa: ANN401  ASGI
    peer = scope["state"].get(PEER)
    body = json.dumps(None if peer is None else peer.hex()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Secured:
    """A server with mutual TLS, and the directory that it asks for authorities."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.generate(folder / "never-written", now_ms=NOW_MS)
        self.listed = [SimpleNamespace(certificate=self.authority.issuing_certificate)]
        view = SimpleNamespace(authorities=lambda: self.listed)
        self.certificate, key = self_signed(folder)
        directory = cast(LiveDirectory, SimpleNamespace(roots=[self.authority.root_certificate], view=view))
        self.context = peers.context(self.certificate, key, directory)
        self.port = 0

    async def ask(self, shown: Issued | None) -> str | None:
        """Whose certificate the application saw; OSError if the handshake was refused."""
        mine = ssl.create_default_context(cafile=self.certificate)
        if shown is not None:
            mine.load_cert_chain(*self._files(shown))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=mine, server_hostname="127.0.0.1")
        writer.write(GET)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        if not answer:
            raise ConnectionResetError("without an answer")
        found: str | None = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found

    def _files(self, shown: Issued) -> tuple[Path, Path]:
        paths = self.folder / "crt.pem", self.folder / "key.pem"
        paths[0].write_bytes(x509.load_der_x509_certificate(shown.certificate).public_bytes(Encoding.PEM))
        paths[1].write_bytes(shown.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    one = Secured(tmp_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        one.port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(
                tells, http=Connection, lifespan="off", log_config=None, ws="none",
                ssl_context_factory=lambda _config, _default: one.context,
            )
        )  # fmt: skip
        serving = asyncio.create_task(server.serve([listener]))
        yield one
        server.should_exit = True
        await serving


@pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
async def test_a_seal_of_ours(secured: Secured, key: KeyKind) -> None:
    seal = secured.authority.issue(CODE, "x", key=key)
    assert await secured.ask(seal) == seal.fingerprint.hex()


async def test_nothing_shown(secured: Secured) -> None:
    assert await secured.ask(None) is None


async def test_outside_its_validity(secured: Secured) -> None:
    for first, last in ((NOW_MS - 2 * DAY_MS, NOW_MS - DAY_MS), (NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS)):
        with pytest.raises(OSError):  # noqa: PT011  the alert comes as one of several
            await secured.ask(secured.authority.issue(CODE, "x", not_before_ms=first, not_after_ms=last))


async def test_an_authority_counts_from_when_it_is_listed(secured: Secured, tmp_path: Path) -> None:
    other = Authority.generate(tmp_path / "other", now_ms=NOW_MS)
    seal = other.issue(CODE, "x")
    with pytest.raises(OSError):  # noqa: PT011
        await secured.ask(seal)
    secured.listed += [SimpleNamespace(certificate=one) for one in (other.root_certificate, other.issuing_certificate)]
    assert await secured.ask(seal) == seal.fingerprint.hex()


def test_a_key_that_is_not_the_certificates(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, wrong = self_signed(other)
    directory = cast(LiveDirectory, SimpleNamespace(roots=[], view=SimpleNamespace(authorities=list)))
    with pytest.raises(Misconfigured):
        peers.context(certificate, wrong, directory)
