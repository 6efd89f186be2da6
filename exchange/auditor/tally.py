"""Running sums of an audit, by source partition, kind and levels at once; a balance is their margins."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.auditor.books import Account, Balance, Copies, Records
from exchange.auditor.findings import Findings

OUTCOMES = {
    "accepted": "accepted",
    "rejected": "rejected",
    "duplicate": "duplicates",
    "set_aside": "set_aside",
    "in_flight": "in_flight",
}
"""What can become of a submission, as the trace and as the books call it."""

Position = tuple[str, int]
CopyKey = tuple[str, int, str, int, int]
"""source topic and partition, kind, sender's level, recipient's level."""


class Tally:
    """Counts; `read`: records re-read, by topic."""

    def __init__(self) -> None:
        self.read: dict[str, int] = {}
        self.dead_letters = 0
        self.notices = 0
        self.erased = 0
        self._records: dict[tuple[str, int, str, str], int] = {}
        self._copies: dict[CopyKey, list[int]] = {}

    def record(self, topic: str, partition: int, kind: str, outcome: str) -> None:
        """Count one submission; an empty outcome is one that the trace doesn't tell."""
        key = (topic, partition, kind, outcome)
        self._records[key] = self._records.get(key, 0) + 1

    def derived(self, key: CopyKey, copies: int, *, undeliverable: int = 0) -> None:
        """Count copies that statements must have led to; `undeliverable`: how many of them."""
        cell = self._cell(key)
        cell[0] += copies
        cell[1] += undeliverable

    def delivered(self, key: CopyKey, copies: int) -> None:
        """Count copies found in an inbox."""
        self._cell(key)[2] += copies

    def acknowledged(self, key: CopyKey) -> None:
        """Count one copy that its recipient signed for."""
        self._cell(key)[3] += 1

    def add(self, other: Tally) -> None:
        """Count what another share counted."""
        for topic, count in other.read.items():
            self.read[topic] = self.read.get(topic, 0) + count
        self.dead_letters += other.dead_letters
        self.notices += other.notices
        self.erased += other.erased
        for record, count in other._records.items():
            self._records[record] = self._records.get(record, 0) + count
        for key, sums in other._copies.items():
            cell = self._cell(key)
            cell[:] = [own + more for own, more in zip(cell, sums, strict=True)]

    def _cell(self, key: CopyKey) -> list[int]:
        cell = self._copies.get(key)
        if cell is None:
            cell = self._copies[key] = [0, 0, 0, 0]
        return cell

    def balance(
        self, cut: Mapping[Position, int], findings: Findings, compared: Mapping[str, int] | None = None
    ) -> Balance:
        """Close the books. `compared`: by a deep audit."""
        total = Account()
        by_partition = {position: Account() for position in cut}
        by_kind: dict[str, Account] = {}
        by_levels: dict[tuple[int, int], Copies] = {}
        for (topic, partition, kind, outcome), count in self._records.items():
            for account in (total, by_partition[topic, partition], by_kind.setdefault(kind, Account())):
                _add_records(account.records, outcome, count)
        for (topic, partition, kind, *levels), sums in self._copies.items():
            pair = by_levels.setdefault((levels[0], levels[1]), Copies())
            of_kind = by_kind.setdefault(kind, Account())
            for copies in (total.copies, by_partition[topic, partition].copies, of_kind.copies, pair):
                _add_copies(copies, sums, is_answered=kind != "status")
        return Balance(
            dict(cut),
            total,
            by_partition,
            dict(sorted(by_kind.items())),
            dict(sorted(by_levels.items())),
            self.dead_letters,
            self.notices,
            self.erased,
            dict(sorted(self.read.items())),
            findings.listed,
            dict(sorted(findings.counts.items())),
            dict(compared) if compared is not None else None,
        )


def _add_records(records: Records, outcome: str, count: int) -> None:
    records.submitted += count
    name = OUTCOMES.get(outcome)
    if name is not None:
        setattr(records, name, getattr(records, name) + count)


def _add_copies(copies: Copies, sums: list[int], *, is_answered: bool) -> None:
    recipients, undeliverable, delivered, acknowledged = sums
    copies.recipients += recipients
    copies.undeliverable += undeliverable
    copies.delivered += delivered
    copies.acknowledged += acknowledged
    if is_answered:
        copies.waiting += delivered - acknowledged
    else:
        copies.told += delivered
