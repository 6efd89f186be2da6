"""Every bound that the desk sets, in one table: units last in the names, the reason beside each."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a desk; the defaults are those of production."""

    body_bytes: int = 500 * MIB
    """All files of one document: what a commune's line takes in a coffee break."""
    form_bytes: int = 64 * 1024
    """Of one field, and of a form without files."""
    files: int = 20
    fields: int = 40
    recipients: int = 256
    """As the gate's rule; above that a group."""
    page: int = 50
    """Rows on one page."""
    connections: int = 50
    """Of one clerk's browser."""
