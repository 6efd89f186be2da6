"""The guide inside the file works: nothing but the real ``openssl`` and the 15 lines of Python that it shows."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from exchange.ledger.evidence.guide import MERKLE
from exchange.local.issuing import KeyKind
from tests.support.evidence_world import make


def unpacked(folder: Path, file: bytes, root: bytes) -> Path:
    """Unpack with the standard library's zip, as anybody would."""
    place = folder / "unpacked"
    (folder / "evidence.zip").write_bytes(file)
    with zipfile.ZipFile(folder / "evidence.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(place)
    pem = x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM)
    (place / "ROOT.pem").write_bytes(pem)
    return place


def commands_of(readme: str) -> list[str]:
    """The commands of the guide, each in one line."""
    joined = readme.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("openssl ")]


def run(command: str, place: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(shlex.split(command), cwd=place, capture_output=True, check=False)


@pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
@pytest.mark.parametrize("batch", [False, True])
def test_openssl_verifies_the_signature(tmp_path: Path, key: KeyKind, batch: bool) -> None:
    made = make(tmp_path / "ledger", key=key, batch=batch)
    place = unpacked(tmp_path, made.file, made.world.authority.root_certificate)
    commands = commands_of((place / "README.txt").read_text("utf-8"))
    assert len(commands) == (3 if key == "ed25519" else 4)
    for command in commands:
        done = run(command, place)
        assert done.returncode == 0, (command, done.stderr)
    content = place / ("signatures/1.batch.avro" if batch else "statement.avro")
    content.write_bytes(content.read_bytes() + b"x")
    outcomes = [run(command, place).returncode for command in commands]
    assert [code == 0 for code in outcomes] == [True, True, *[False] * (len(commands) - 2)]


def test_the_merkle_path_in_15_lines(tmp_path: Path) -> None:
    assert len(MERKLE.splitlines()) == 15
    made = make(tmp_path / "ledger")
    place = unpacked(tmp_path, made.file, made.world.authority.root_certificate)
    readme = (place / "README.txt").read_text("utf-8")
    assert MERKLE in readme

    def answers() -> list[str]:
        done = subprocess.run([sys.executable, "-c", MERKLE], cwd=place, capture_output=True, check=True)
        return [line.split()[1] for line in done.stdout.decode().splitlines()]

    assert answers() == ["True", "True", "True"]
    checkpoint = place / "checkpoint.txt"
    origin, size, _, rest = checkpoint.read_text("utf-8").split("\n", 3)
    checkpoint.write_text("\n".join([origin, size, "A" * 43 + "=", rest]), "utf-8")
    assert "True" not in answers()
