"""Every bound that the connector sets on a packet, in one table: units last in the names, the reason beside each."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one packet; the defaults are those of production."""

    packet_bytes: int = 50 * MIB
    """A client of the national axis caps its packets here."""
    slim_bytes: int = 2 * MIB
    """A packet without its attachments' content, which is held in memory: real ones have 2 to 8 KiB."""
    inflated_bytes: int = 500 * MIB
    """All attachments of a packet once unpacked: a ZIP may swell a thousandfold."""
    attachments: int = 99
    """A document may have 100 (the packet itself is one of them)."""
    depth: int = 32
    """Elements within elements: real packets have 10."""
    elements: int = 20_000
    """256 recipients with eight fields each are some 2,500."""
    attributes: int = 32
    """Of one element: real ones have 4."""
    text_characters: int = 4_000
    """Of one field; the longest allowed has 500."""
