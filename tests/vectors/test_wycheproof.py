"""Wycheproof's signature vectors (C2SP/wycheproof, Apache-2.0) through our own `check`.

The vectors lie beside the repository, not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from exchange.errors import Rejected
from exchange.signatures.algorithms import PublicKey, check

SHARED = Path(__file__).parents[2] / ".." / "shared"
FOLDER = SHARED / "data" / "wycheproof"

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared folder with Wycheproof's vectors is not beside this repository"
)


def cases(name: str) -> Iterator[tuple[PublicKey, dict[str, Any]]]:
    for group in json.loads((FOLDER / name).read_text("utf-8"))["testGroups"]:
        public_key = cast(PublicKey, load_der_public_key(bytes.fromhex(group["publicKeyDer"])))
        for test in group["tests"]:
            yield public_key, test


def verdict(public_key: PublicKey, algorithm: str, test: dict[str, Any]) -> str:
    try:
        check(public_key, algorithm, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
    except Rejected as rejected:
        return rejected.code
    return "valid"


@pytest.mark.parametrize(
    ("name", "algorithm", "valid", "invalid"),
    [
        ("ecdsa_secp256r1_sha256_test.json", "ecdsa_p256_sha256", 174, 310),
        ("rsa_signature_2048_sha256_test.json", "rsa_pkcs1_sha256", 9, 250),
    ],
)
def test_every_verdict(name: str, algorithm: str, valid: int, invalid: int) -> None:
    """The one ``acceptable`` case (RSA, a missing NULL) is refused: a strict reader does."""
    counts = {"valid": 0, "signature.invalid": 0}
    for public_key, test in cases(name):
        expected = "valid" if test["result"] == "valid" else "signature.invalid"
        assert verdict(public_key, algorithm, test) == expected, f"{name} {test['tcId']}: {test['comment']}"
        counts[expected] += 1
    assert counts == {"valid": valid, "signature.invalid": invalid}
