"""Signatures verified again, a portion at a time, by as many threads as there are cores.

What costs most of a deep audit lets go of the interpreter, but needs it again for each signature: beside a thread that
is busy in the interpreter it may wait five milliseconds for that. So the one who hands signatures in verifies along,
and does nothing else meanwhile.

Guarantees: every signature handed in is verified before `finish` returns; each that doesn't verify is a finding with
its submission.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.findings import Findings
from exchange.errors import Rejected
from exchange.signatures.certificates import Certificate
from exchange.signatures.cms import check_signature

PORTION = 500
"""Few enough to stay in the processor's cache."""


class Signature(NamedTuple):
    """A signature to verify. `digest`: SHA-256 of `raw`, if it is known."""

    at: Coordinates
    id: str
    certificate: Certificate
    algorithm: str
    value: bytes
    raw: bytes
    digest: bytes | None


class Verifying:
    """Verifies what is handed in; `finish` it. `count`: signatures verified."""

    def __init__(self, findings: Findings, threads: int | None = None) -> None:
        self._findings = findings
        self._threads = threads or os.cpu_count() or 1
        self._others = ThreadPoolExecutor(max(self._threads - 1, 1), thread_name_prefix="audit")
        self._portion: list[Signature] = []
        self.count = 0

    def add(self, signature: Signature) -> None:
        """Have a signature verified, with the portion that it fills if it does."""
        self._portion.append(signature)
        self.count += 1
        if len(self._portion) >= PORTION:
            self._verify()

    def finish(self) -> None:
        """Verify what is left."""
        self._verify()
        self._others.shutdown()

    def _verify(self) -> None:
        mine, *others = (self._portion[place :: self._threads] for place in range(self._threads))
        running = [self._others.submit(_wrong, other) for other in others]
        found = _wrong(mine)
        for other in running:
            found += other.result()
        for signature, said in found:
            self._findings.add("audit.wrong_signature", signature.at, said, signature.id)
        self._portion = []


def _wrong(portion: Sequence[Signature]) -> list[tuple[Signature, str]]:
    found = []
    for one in portion:
        try:
            check_signature(one.certificate, one.algorithm, one.value, one.raw, one.digest)
        except Rejected as exc:
            found.append((one, str(exc)))
    return found
