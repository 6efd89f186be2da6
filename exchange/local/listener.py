"""The certificate of the embedded brokers' outside listener, made once.

Guarantees: its private key is readable by its owner only (0600); a client that checks the listener by the
certificate alone speaks with these brokers and with nobody else. For 127.0.0.1, where they listen: a cluster that
others reach has a certificate of a public authority.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from exchange.local.home import write_private

_DAYS = 3650


def ensure_certificate(both: Path, public: Path) -> None:
    """Write key and certificate (PEM) into `both` and the certificate alone into `public`, unless they are there."""
    if both.is_file() and public.is_file():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Exchange Demo Kafka")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(_DAYS)
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode("ascii")
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    write_private(public, certificate)
    write_private(both, private + certificate)  # last: both are there
