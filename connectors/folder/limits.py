"""Every bound that the folder connector sets, in one table: units last in the names, the reason beside each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a drop; the defaults are those of production."""

    file_bytes: int = 2 * 1024**3
    """As the gate's rule for a document's attachments."""
    files: int = 100
    """Of one document, as the gate's rule."""
    sidecar_bytes: int = 64 * 1024
    """A statement has at most 32 KiB."""
    depth: int = 8
    """Of a sidecar's lists and tables; ours need three."""
    at_a_time: int = 200
    """Names looked at in one turn, the oldest first: a flood of files is taken in portions."""
    quiet_s: float = 2.0
    """A file that changed more recently may still be written, where the system can't say whether it is open."""
    alone_s: float = 60.0
    """A file whose name says nothing may wait so long for its sidecar, and a sidecar for its files."""
