"""S3-speaking servers for tests: rclone's (signatures and TLS checked, no conditional writes) and moto's (the other
way round). Real processes, real HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchange.local.home import is_port_free
from exchange.local.waiting import wait_until

KEY_ID, SECRET = "AKTESTS", "not-a-secret-of-anybody"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """A running server. `environment`: what leads a client to it, credentials from a file."""

    url: str
    environment: dict[str, str]


@contextmanager
def rclone(folder: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """rclone's server over a folder with the bucket ``tests``. `tls`: certificate and key, PEM."""
    (folder / "data" / "tests").mkdir(parents=True)
    options = ["--auth-key", f"{KEY_ID},{SECRET}", "--vfs-cache-mode", "off", "--config", str(folder / "none.conf")]
    if tls is not None:
        options += ["--cert", str(tls[0]), "--key", str(tls[1])]
    port = _port()
    command = [str(BIN / "rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}", *options, str(folder / "data")]
    with _running(command, port, folder):
        scheme = "http" if tls is None else "https"
        yield Server("s3://tests/world", _environment(f"{scheme}://127.0.0.1:{port}", folder))


@contextmanager
def moto(folder: Path) -> Iterator[Server]:
    """moto's server, with the bucket ``tests``."""
    port = _port()
    with _running([str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, folder):
        server = Server("s3://tests/world", _environment(f"http://127.0.0.1:{port}", folder))
        boto3.client(
            "s3", endpoint_url=server.environment["AWS_ENDPOINT_URL"], aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET, region_name="us-east-1",
        ).create_bucket(Bucket="tests")  # fmt: skip
        yield server


def _environment(endpoint: str, folder: Path) -> dict[str, str]:
    credentials = folder / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true" if endpoint.startswith("http:") else "false",
        "AWS_REGION": "us-east-1",
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
    }


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert wait_until(lambda: not is_port_free(port) or process.poll() is not None, 30)
        assert process.poll() is None, (folder / "server.log").read_text()
        yield
    finally:
        process.kill()
        process.wait(10)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate_of_localhost(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private
