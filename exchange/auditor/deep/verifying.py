"""Signatures verified again, in threads: what costs most of a deep audit, and lets go of the interpreter.

Guarantees: every signature handed in is verified before `finish` returns; each that doesn't verify is a finding with
its submission. At most `PORTIONS_MAX` portions wait, so memory doesn't grow with the traffic.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.findings import Findings
from exchange.errors import Rejected
from exchange.signatures.certificates import Certificate
from exchange.signatures.cms import check_signature

PORTION = 128
PORTIONS_MAX = 16


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
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="audit")
        self._portion: list[Signature] = []
        self._running: deque[Future[list[tuple[Signature, str]]]] = deque()
        self.count = 0

    def add(self, signature: Signature) -> None:
        """Have a signature verified; may wait for earlier ones."""
        self._portion.append(signature)
        self.count += 1
        if len(self._portion) >= PORTION:
            self._submit()

    def finish(self) -> None:
        """Wait for all of them."""
        self._submit()
        while self._running:
            self._collect()
        self._pool.shutdown()

    def _submit(self) -> None:
        while len(self._running) >= PORTIONS_MAX or (self._running and self._running[0].done()):
            self._collect()
        self._running.append(self._pool.submit(_wrong, self._portion))
        self._portion = []

    def _collect(self) -> None:
        for signature, said in self._running.popleft().result():
            self._findings.add("audit.wrong_signature", signature.at, said, signature.id)


def _wrong(portion: Sequence[Signature]) -> list[tuple[Signature, str]]:
    found = []
    for one in portion:
        try:
            check_signature(one.certificate, one.algorithm, one.value, one.raw, one.digest)
        except Rejected as exc:
            found.append((one, str(exc)))
    return found
