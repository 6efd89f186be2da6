"""What was accepted under a certificate since its key may have been another's: all of it, and in one path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from exchange.views.trace_path import Path
from exchange.views.trace_store import TraceStore

_SUSPECTS = """
SELECT e.kind, e.sender, e.id, e.thread, e.append_ms, d.subject
FROM events e LEFT JOIN documents d USING (source_topic, partition, source_offset)
WHERE e.certificate = %s AND e.append_ms >= %s AND e.outcome = 'accepted'
ORDER BY e.append_ms, e.source_topic, e.partition, e.source_offset
"""


class Suspect(NamedTuple):
    """An accepted statement that the holder of a lost key may have signed."""

    kind: str
    sender: str
    id: str
    thread: str
    append_ms: int
    subject: str | None


def accepted_since(store: TraceStore, certificate: bytes, since_ms: int) -> list[Suspect]:
    """List what was accepted under a certificate (SHA-256) at or after `since_ms`. Raises: Unavailable."""
    with store.snapshot() as connection:
        return [Suspect(*row) for row in connection.execute(_SUSPECTS, (certificate, since_ms))]


def marked(path: Path, compromised: Callable[[bytes], int | None]) -> Path:
    """The path with its suspects marked. `compromised`: since when a certificate's key may have been another's."""
    since = {
        entry.certificate: compromised(bytes.fromhex(entry.certificate))
        for entry in path.entries()
        if entry.certificate
    }
    return replace(path, compromised={certificate: ms for certificate, ms in since.items() if ms is not None})
