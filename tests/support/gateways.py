"""A gateway for tests: the real one, with uvicorn, on a loopback port, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import base64
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from exchange.cli.gateway import deployment_of
from exchange.cli.world import World
from exchange.gateway import Gateway, Limits, Listening, Server, running
from exchange.gateway.server import LOOPBACK
from exchange.local.home import is_port_free
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.sdk.keys import JWS_ALGORITHMS
from exchange.signatures import SigningKey

START_S = 60.0
OPEN_LIMITS = Limits(tokens_per_s=1000, tokens_burst=10_000, requests_per_s=1000, requests_burst=10_000)
"""Quotas that a test doesn't meet by accident."""


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway that answers."""

    url: str
    gateway: Gateway

    def client(self, member: Member) -> httpx.Client:
        """A client with a fresh token of the member's."""
        token = self.ask_token(assertion(member.agency.code, member.key, self.url)).json()["access_token"]
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=70)

    def ask_token(self, client_assertion: str) -> httpx.Response:
        """The answer to a token request."""
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": client_assertion,
        }
        return httpx.post(f"{self.url}/v1/token", data=form, timeout=30)


def free_port() -> int:
    """A port that nobody listens on now, below the kernel's range for outgoing connections."""
    while not is_port_free(port := 20_000 + secrets.randbelow(12_000)):
        pass
    return port


def assertion(code: str, key: SigningKey, audience: str, *, algorithm: str = "", **changes: Any) -> str:  # noqa: ANN401
    """A client assertion; `changes`: of its claims, None leaves one out; ``x5t``: of the header."""
    now_s = int(time.time())
    fingerprint = base64.urlsafe_b64encode(changes.pop("x5t", key.certificate)).rstrip(b"=").decode()
    claims = {"iss": code, "sub": code, "aud": audience, "iat": now_s, "exp": now_s + 60, "jti": secrets.token_hex(8)}
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, key.private_key, algorithm or JWS_ALGORITHMS[key.algorithm], {"x5t#S256": fingerprint})


@contextmanager
def serving(
    world: World, limits: Limits = OPEN_LIMITS, port: int = 0, certificate: tuple[Path, Path] | None = None
) -> Iterator[Served]:
    """Serve this world until the block ends; fails if the gateway does. `certificate`: and its key, for TLS."""
    listening = Listening(port or free_port(), LOOPBACK, *(certificate or (None, None)))
    url = f"{listening.scheme}://{LOOPBACK}:{listening.port}"
    servers: list[Server] = []
    gateways: list[Gateway] = []
    failures: list[BaseException] = []

    async def serve() -> None:
        async with running(deployment_of(world, url), limits) as gateway:
            gateways.append(gateway)
            servers.append(Server(gateway, listening))
            await servers[0].serve()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as exc:  # noqa: BLE001  the test's thread raises it
            failures.append(exc)

    thread = threading.Thread(target=work, name="gateway")
    thread.start()
    try:
        assert wait_until(lambda: bool(failures) or bool(servers and servers[0].started), START_S)
        if not failures:
            yield Served(url, gateways[0])
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(30)
    if failures:
        raise failures[0]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A server's certificate for 127.0.0.1 and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    paths = folder / "gateway.crt.pem", folder / "gateway.key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
