"""The attachments of accepted statements, read again from wherever they are kept, and hashed.

Guarantees: each is read once, streamed; one that is gone, cut short or altered is named with the first statement that
refers to it. What was erased by a decision is passed over with its statement. Holds 100 bytes for each attachment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

from exchange.auditor.books import Coordinates
from exchange.auditor.findings import Findings
from exchange.auditor.said import Said
from exchange.errors import Rejected
from exchange.statements import KINDS

Fetch = Callable[[bytes, bytes, int], Iterable[bytes]]
"""An attachment's bytes, by its statement's SHA-256, its own and its size; raises Rejected if they aren't there."""


class AttachmentAudit:
    """Reads what statements refer to. `count`, `bytes`: read so far."""

    def __init__(self, fetch: Fetch, findings: Findings) -> None:
        self._fetch = fetch
        self._findings = findings
        self._seen: set[tuple[bytes, int]] = set()
        self.bytes = 0

    @property
    def count(self) -> int:
        """How many attachments were read."""
        return len(self._seen)

    def check(self, at: Coordinates, said: Said) -> None:
        """Read the attachments of an accepted statement. Raises: Unavailable, if the store doesn't answer."""
        for digest, size in KINDS[said.kind].attachments(said.fields):
            if (digest, size) in self._seen:
                continue
            self._seen.add((digest, size))
            hashed, seen = sha256(), 0
            try:
                for chunk in self._fetch(said.digest, digest, size):
                    hashed.update(chunk)
                    seen += len(chunk)
            except Rejected as exc:
                gone = exc.code.endswith(".missing")
                code = "audit.missing_attachment" if gone else "audit.altered_attachment"
                self._findings.add(code, at, f"{digest.hex()}: {exc.code}", said.fields["id"])
                continue
            self.bytes += seen
            if (seen, hashed.digest()) != (size, digest):
                sentence = f"{digest.hex()}: {seen} bytes, not {size}, or others"
                self._findings.add("audit.altered_attachment", at, sentence, said.fields["id"])
