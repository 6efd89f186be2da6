"""A PKCS#11 token for tests: the real SoftHSM. Its library reads its configuration once a process."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchange.local.issuing import Issued

MODULES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")]
MODULE = next((path for path in MODULES if path.exists()), None)
ABSENT = "SoftHSM is not installed (Debian: apt-get install softhsm2)"
LABEL, PIN = "agency", "4821"


@dataclass
class Token:
    """An initialised token, and folders of keys whose private halves are in it."""

    place: Path

    def take(self, issued: Issued, label: str) -> None:
        """Put a private key into the token."""
        pem = self.place / "imported.pem"
        pem.write_bytes(issued.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        number = f"{abs(hash(label)) % 2**32:08x}"
        self._run("--import", str(pem), "--token", LABEL, "--label", label, "--id", number, "--pin", PIN)
        pem.unlink()

    def folder(self, name: str, issued: Issued, label: str) -> Path:
        """A folder with a certificate, and the key of that label in the token."""
        folder = self.place / name
        folder.mkdir()
        certificate = x509.load_der_x509_certificate(issued.certificate)
        (folder / "seal.crt.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "seal.pin").write_text(f"{PIN}\n", "utf-8")
        text = f'module = "{MODULE}"\ntoken = "{LABEL}"\nkey = "{label}"\npin_file = "seal.pin"\n'
        (folder / "seal.token.toml").write_text(text, "utf-8")
        return folder

    def _run(self, *arguments: str) -> None:
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)


def made_token(place: Path) -> Token:
    """A token in a folder, for this process and its children."""
    (place / "tokens").mkdir()
    config = place / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {place / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(config)
    token = Token(place)
    token._run("--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", PIN)
    return token
