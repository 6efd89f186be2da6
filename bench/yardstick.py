"""The yardstick: how many signatures one bare core verifies, with nothing around it, in the same run.

ECDSA on P-256 over SHA-256 of a 2 KiB statement, one thread; with OpenSSL, as everywhere in the project.
"""

from __future__ import annotations

import os
import time

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bench.corpus import STATEMENT_BYTES

SECONDS = 1.0
_KEYS = 16


def verified_per_second(seconds: float = SECONDS) -> float:
    """Measure once."""
    algorithm = ec.ECDSA(SHA256())
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(_KEYS)]
    signed = []
    for key in keys:
        statement = os.urandom(STATEMENT_BYTES)
        signed.append((key.public_key(), key.sign(statement, algorithm), statement))
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for public_key, signature, statement in signed:
            public_key.verify(signature, statement, algorithm)
        count += len(signed)
    return count / spent
