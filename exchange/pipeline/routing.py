"""Who gets a copy, and in which partition of which inbox topic.

Guarantees: the same addresses, sender, date and directory offset give the same copies in the same order in
every process; each agency gets at most one copy, however often and by whatever code it was named. One unknown
recipient rejects the statement, a closed one is undeliverable, a succeeded one is redirected.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.agencies.resolution import Closed, Open, Redirected, Unknown
from exchange.agencies.subtrees import subtree_of
from exchange.agencies.view import DirectoryView
from exchange.errors import Rejected
from exchange.pipeline.submission import partition_of

COPIES_MAX = 20_000
"""More than the country has agencies that a group can hold (10,599 communes); bounds one statement's output."""

INBOX_TOPICS = {level: f"inbox.{level.label}" for level in Level}

_DAY_MS = 86_400_000
_ZONE_MS = 7 * 3_600_000
_EPOCH = date(1970, 1, 1).toordinal()


class Copy(NamedTuple):
    """One recipient's copy. `partition`: of the inbox topic of its `level`; -1 if it is undeliverable.
    `subtree`: where its recipient is counted."""

    recipient: str
    ordinal: int
    level: Level
    partition: int
    subtree: str
    redirected_from: str | None = None

    @property
    def is_deliverable(self) -> bool:
        """Whether it has an inbox to go to."""
        return self.partition >= 0


def day_of(append_ms: int) -> date:
    """The date in Vietnam (UTC+7) of a broker's append time."""
    return date.fromordinal(_EPOCH + (append_ms + _ZONE_MS) // _DAY_MS)


def inbox_partition(code: str, partitions: int) -> int:
    """The partition of an agency's inbox: the one that its code, as a Kafka key, asks for."""
    return partition_of(code.encode(), partitions)


class Router:
    """Routes by one pinned view of the directory. Remembers what it resolved, for one day at a time."""

    def __init__(self, view: DirectoryView, inbox_partitions: int) -> None:
        self.view = view
        self._inbox_partitions = inbox_partitions
        self._day = date.min
        self._senders: dict[str, Agency] = {}
        self._copies: dict[str, Copy] = {}
        self._groups: dict[str, list[Copy]] = {}
        self._subtrees: dict[str, str] = {}

    def subtree(self, agency: Agency) -> str:
        """Where an agency is counted."""
        subtree = self._subtrees.get(agency.code)
        if subtree is None:
            subtree = self._subtrees[agency.code] = subtree_of(self.view, agency)
        return subtree

    def sender(self, code: str, on: date) -> Agency:
        """The agency that speaks; Rejected ``sender.unknown``, ``sender.closed``, ``sender.suspended``."""
        self._begin(on)
        agency = self._senders.get(code)
        if agency is None:
            agency = self._senders[code] = self._speaker(code, on)
        return agency

    def _speaker(self, code: str, on: date) -> Agency:
        match self.view.resolve(code, on):
            case Open(agency) if agency.code == code:
                if self.view.suspension(code) is not None:
                    raise Rejected("sender.suspended", code)
                return agency
            case Open(agency):
                raise Rejected("sender.unknown", f"{code[:40]} is not the code of record of {agency.code}")
            case Unknown():
                raise Rejected("sender.unknown", code[:40])
            case _:
                raise Rejected("sender.closed", code)

    def copies(self, addresses: list[str], sender: Agency, on: date) -> list[Copy]:
        """Expand and resolve what a statement names.

        Raises: Rejected ``recipient.unknown``, ``group.unknown``, ``group.not_allowed``,
            ``recipients.empty`` (the groups have no other member than the sender).
        """
        if len(addresses) == 1 and not addresses[0].startswith("@"):
            return [self.copy_to(addresses[0], on)]
        found: dict[int, Copy] = {}
        for address in addresses:
            if address.startswith("@"):
                for copy in self._group(address, sender, on):
                    if copy.recipient != sender.code:
                        found.setdefault(copy.ordinal, copy)
            else:
                copy = self.copy_to(address, on)
                found.setdefault(copy.ordinal, copy)
        if not found:
            raise Rejected("recipients.empty", "the groups named have no other member")
        if len(found) > COPIES_MAX:
            raise Rejected("recipients.too_many", f"{len(found)} > {COPIES_MAX} after expansion")
        return list(found.values())

    def copy_to(self, code: str, on: date) -> Copy:
        """The copy of one agency, named by any of its codes; Rejected ``recipient.unknown``."""
        self._begin(on)
        copy = self._copies.get(code)
        if copy is None:
            copy = self._resolve(code, on)
            self._copies[code] = copy
        return copy

    def superior(self, named: str | None, sender: Agency, on: date) -> Copy:
        """The superior that a report goes to: the one named, which must stand above, or the parent.

        Raises: Rejected ``report.no_superior``, ``report.not_a_superior``, ``recipient.unknown``.
        """
        if named is None:
            if sender.parent is None:
                raise Rejected("report.no_superior", f"{sender.code} is the top of the tree")
            return self.copy_to(sender.parent, on)
        agency = self.view.agency(named)
        if agency is None:
            raise Rejected("recipient.unknown", named[:40])
        if all(above.code != agency.code for above in self.view.ancestors(sender.code)):
            raise Rejected("report.not_a_superior", f"{agency.code} is not above {sender.code}")
        return self.copy_to(agency.code, on)

    def _begin(self, on: date) -> None:
        """Forget what was resolved for another day."""
        if on != self._day:
            self._day, self._senders, self._copies, self._groups = on, {}, {}, {}

    def _group(self, code: str, sender: Agency, on: date) -> list[Copy]:
        group = self.view.group(code)
        if group is None:
            raise Rejected("group.unknown", code[:60])
        if sender.code not in group.senders:
            raise Rejected("group.not_allowed", f"{sender.code} may not address {code[:60]}")
        self._begin(on)
        copies = self._groups.get(code)
        if copies is None:
            copies = [self.copy_to(agency.code, on) for agency in self.view.expand(code, on)]
            self._groups[code] = copies
        return copies

    def _resolve(self, code: str, on: date) -> Copy:
        match self.view.resolve(code, on):
            case Open(agency):
                return self._copy(agency, inbox_partition(agency.code, self._inbox_partitions))
            case Redirected(original, successor):
                partition = inbox_partition(successor.code, self._inbox_partitions)
                return self._copy(successor, partition)._replace(redirected_from=original.code)
            case Closed(agency):
                return self._copy(agency, -1)
            case Unknown():
                raise Rejected("recipient.unknown", code[:40])

    def _copy(self, agency: Agency, partition: int) -> Copy:
        subtree = subtree_of(self.view, agency)
        return Copy(agency.code, self.view.ordinal(agency.code), agency.level, partition, subtree)


def by_inbox(copies: Iterable[Copy]) -> dict[tuple[Level, int], list[str]]:
    """The recipients of each inbox partition; undeliverable copies are in none."""
    inboxes: dict[tuple[Level, int], list[str]] = {}
    for copy in copies:
        if copy.partition >= 0:
            inboxes.setdefault((copy.level, copy.partition), []).append(copy.recipient)
    return inboxes
