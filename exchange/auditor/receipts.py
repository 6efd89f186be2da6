"""Which copies of one partition number their recipients signed for.

Guarantees: a copy counts once, by the first receipt; the order of deliveries and receipts doesn't matter. Holds
10 bytes a copy and one small dictionary entry a receipt. A receipt is any accepted status that the recipient
itself says (all but 13), as ``schemas/status`` has it.
"""

from __future__ import annotations

from array import array

from exchange.auditor.books import Coordinates
from exchange.auditor.findings import Findings
from exchange.auditor.tally import CopyKey, Tally
from exchange.statements import Topic


class Receipts:
    """Copies and receipts, met in `finish`."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._copies = array("q")
        self._groups = array("H")
        self._group_of: dict[CopyKey, int] = {}
        self._receipts: dict[int, int] = {}

    def deliver(self, group: CopyKey, document: bytes, recipient: str) -> None:
        """A copy went to a recipient. `document`: its claim key."""
        self._copies.append(hash((document, recipient)))
        self._groups.append(self._group_of.setdefault(group, len(self._group_of)))

    def sign(self, offset: int, document: bytes, recipient: str) -> None:
        """The recipient said something about its copy, in the status at `offset`."""
        self._receipts.setdefault(hash((document, recipient)), offset)

    def finish(self, tally: Tally, findings: Findings, *, is_complete: bool) -> None:
        """Count what is acknowledged. `is_complete`: every submission's outcome is known, none expired."""
        groups = list(self._group_of)
        receipts = self._receipts
        for copy, group in zip(self._copies, self._groups, strict=True):
            if copy in receipts:
                tally.acknowledged(groups[group])
        if not is_complete or not receipts:
            return
        delivered = set(receipts).intersection(self._copies)
        for receipt, offset in receipts.items():
            if receipt not in delivered:
                at = Coordinates(Topic.STATUSES, self._number, offset)
                findings.add("audit.receipt_without_delivery", at, "nothing was delivered to who says it")
