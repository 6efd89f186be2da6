"""The audited books: what was counted, what was found, and whether it holds.

The unit of the first equation is a submission, of the others a recipient's copy::

    submitted  = accepted + rejected + duplicates + set aside + in flight
    recipients = delivered + undeliverable
    delivered  = acknowledged + waiting + told

`recipients` and `undeliverable` are derived from the statements, `delivered` is what lies in the inboxes: only if
nothing is missing do they meet. `told` are deliveries that nobody acknowledges (those of statuses).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import NamedTuple


class Coordinates(NamedTuple):
    """Where a record lies in Kafka."""

    topic: str
    partition: int
    offset: int


class Finding(NamedTuple):
    """One thing that is wrong. `code`: a key of `findings.CODES`.

    `at`: the submission concerned; for a record that names none, the record itself. Of a deep audit it may also be a
    file of the ledger, with the leaf or hash in it, or a table of the trace store (``events.documents``), with its
    source's partition and offset. `id`: the statement's, empty if it has none to read. `sentence`: for an auditor; may
    quote what a verified sender wrote.
    """

    code: str
    at: Coordinates
    id: str
    sentence: str


@dataclass(slots=True)
class Records:
    """Submissions by what became of them."""

    submitted: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    set_aside: int = 0
    in_flight: int = 0

    @property
    def holds(self) -> bool:
        """Whether each submission is in exactly one place."""
        parts = self.accepted + self.rejected + self.duplicates + self.set_aside + self.in_flight
        return self.submitted == parts


@dataclass(slots=True)
class Copies:
    """Recipients' copies of accepted statements."""

    recipients: int = 0
    delivered: int = 0
    undeliverable: int = 0
    acknowledged: int = 0
    waiting: int = 0
    told: int = 0

    @property
    def holds(self) -> bool:
        """Whether each copy is in exactly one place."""
        return (
            self.recipients == self.delivered + self.undeliverable
            and self.delivered == self.acknowledged + self.waiting + self.told
            and min(self.acknowledged, self.waiting) >= 0
        )


@dataclass(slots=True)
class Account:
    """Both sides of the books for one part of the traffic."""

    records: Records = field(default_factory=Records)
    copies: Copies = field(default_factory=Copies)

    @property
    def holds(self) -> bool:
        """Whether every equation holds."""
        return self.records.holds and self.copies.holds


@dataclass(slots=True)
class Balance:
    """The result of an audit up to a cut.

    `cut`: next offset of each source partition when the audit began; what lies at or beyond is in flight.
    `by_kind`: by the name of the statement's schema, empty if unreadable. `by_levels`: (sender's, recipient's).
    `dead_letters`, `notices`: how many matched. `erased`: submissions passed over, for their content was destroyed by a
    decision of the directory. `records_read`: by topic.
    `findings`: listed up to a bound for each code; `finding_counts` counts all. `compared`: what a deep audit compared
    beyond the books; None of any other. `windows`: hours of the throughput that were compared; None: they weren't.
    """

    cut: dict[tuple[str, int], int]
    total: Account
    by_partition: dict[tuple[str, int], Account]
    by_kind: dict[str, Account]
    by_levels: dict[tuple[int, int], Copies]
    dead_letters: int
    notices: int
    erased: int
    records_read: dict[str, int]
    findings: list[Finding]
    finding_counts: dict[str, int]
    compared: dict[str, int] | None = None
    windows: int | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing was found and every equation holds, in total and in each part."""
        parts: list[Account | Copies] = [self.total, *self.by_partition.values(), *self.by_kind.values()]
        parts.extend(self.by_levels.values())
        return not self.finding_counts and all(part.holds for part in parts)

    def to_json(self) -> str:
        """The balance as JSON text; keys of pairs become ``topic/partition`` and ``1-4``."""
        return json.dumps(
            {
                "holds": self.holds,
                "cut": {f"{t}/{p}": offset for (t, p), offset in self.cut.items()},
                "total": asdict(self.total),
                "by_partition": {f"{t}/{p}": asdict(one) for (t, p), one in self.by_partition.items()},
                "by_kind": {kind: asdict(one) for kind, one in self.by_kind.items()},
                "by_levels": {f"{s}-{r}": asdict(one) for (s, r), one in self.by_levels.items()},
                "dead_letters": self.dead_letters,
                "notices": self.notices,
                "erased": self.erased,
                "records_read": self.records_read,
                "finding_counts": self.finding_counts,
                "windows": self.windows,
                **({} if self.compared is None else {"compared": self.compared}),
                "findings": [{**f._asdict(), "at": f.at._asdict()} for f in self.findings],
            },
            ensure_ascii=False,
            indent=2,
        )
