"""One share of an audit: the partition numbers that it takes, what it found, and how the shares become one balance.

Guarantees: each partition number, with all that it led to in the inboxes, is in exactly one share, and so is what is
of no number: the schemas and the directory in the first, the ledger in the last. Shares know nothing of each other, so
each may have a process of its own; the same shares merge to the same balance. What more than one may come upon (that
the directory ends too early) is named once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from exchange.auditor.books import Balance
from exchange.auditor.cut import Cut
from exchange.auditor.findings import Findings
from exchange.auditor.tally import Tally


class Share(NamedTuple):
    """Share `number` of so many: the partition numbers with that remainder. All there is, unless told otherwise."""

    number: int = 0
    of: int = 1

    def takes(self, partition: int) -> bool:
        """Whether a partition number is in it; any number is in one."""
        return partition % self.of == self.number

    @property
    def is_first(self) -> bool:
        """Whether it has the schemas and the directory."""
        return self.number == 0

    @property
    def is_last(self) -> bool:
        """Whether it has the ledger."""
        return self.number == self.of - 1


class Part(NamedTuple):
    """What one share counted and found. `compared`: by a deep audit; None of any other. `windows`: hours compared."""

    tally: Tally
    findings: Findings
    compared: dict[str, int] | None
    windows: int | None = None


def merged(cut: Cut, parts: Sequence[Part]) -> Balance:
    """The balance of all shares, in their order."""
    tally, findings = Tally(), Findings()
    compared, windows = Counter[str](), Counter[str]()
    for part in parts:
        tally.add(part.tally)
        findings.add_all(part.findings)
        compared.update(part.compared or {})
        windows.update({} if part.windows is None else {"hours": part.windows})
    balance = tally.balance(cut.next_offsets, findings, None if parts[0].compared is None else compared)
    return replace(balance, windows=windows.get("hours"))
