"""What a delta says of each statement, by the minute: columns, so that the hop spends an append on a statement.

Whoever reads deltas makes sums of them; a sum for each subtree here would cost the hop a dictionary and a record of
its own for nearly every document, since there are more subtrees than a batch has documents.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MINUTE_MS = 60_000
WAIT_MS_MAX = 2**32 - 1
"""49 days; a receipt that came later counts as one that came then."""


class Receipt(NamedTuple):
    """A recipient's signed word about its copy. `wait_ms`: between its document's append time and its own, which a
    broker's clock that stepped back can make negative."""

    subtree: str
    level: int
    wait_ms: int


@dataclass(slots=True)
class Columns:
    """One minute's, of one source partition, as ``schemas/delta`` has them. `appended`: ms since 1970."""

    appended: list[int] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    def fields(self, minute: int) -> dict[str, Any]:
        """The fields of ``schemas/delta``'s ``Minute``."""
        begin_ms, receipts = minute * MINUTE_MS, self.receipts
        return {
            "minute": minute,
            "appended": little_endian("H", [append_ms - begin_ms for append_ms in self.appended]),
            "senders": " ".join(self.senders),
            "recipients": " ".join(self.recipients),
            "refused": " ".join(self.refused),
            "signers": " ".join([receipt.subtree for receipt in receipts]),
            "levels": bytes([receipt.level for receipt in receipts]),
            "waits": little_endian("I", [min(max(receipt.wait_ms, 0), WAIT_MS_MAX) for receipt in receipts]),
        }


def little_endian(size: str, numbers: list[int]) -> bytes:
    """Numbers as bytes. `size`: ``H`` of two, ``I`` of four."""
    packed = array(size, numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
