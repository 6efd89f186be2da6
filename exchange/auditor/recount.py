"""What one statement must have led to, derived again from its bytes and the directory alone.

Guarantees: shares no code with the hop; the codec, the schemas and the directory are what both stand on. The
same bytes, directory offset and append time give the same copies in every process. Does not verify signatures,
and knows the kinds that there are: a new kind needs a line in `_READINGS` and a case in `Recount.copies`.

Source: docs of ``schemas/*/v1.avsc``; Kafka's ``Utils.murmur2``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from exchange.agencies import Agency, Closed, Directory, DirectoryView, Level, Open, Redirected, SettingAside
from exchange.auditor.books import Coordinates
from exchange.auditor.said import Said
from exchange.errors import Rejected

UNDELIVERABLE = -1
"""The partition of a copy that has no inbox."""

COPIES_MAX = 20_000
"""Recipients of one statement, groups expanded."""

TAKE_BACK_ASKED = 13
"""The one status that a document's sender says, and its recipient is told."""

_EPOCH = date(1970, 1, 1)
_UTC_PLUS_7_MS = 7 * 60 * 60 * 1000
_DAY_MS = 24 * 60 * 60 * 1000


class Copy(NamedTuple):
    """One recipient's copy, its fields those of ``schemas/trace``."""

    recipient: str
    level: int
    partition: int
    redirected_from: str | None


def day_in_vietnam(append_ms: int) -> date:
    """The date (UTC+7) of a broker's append time."""
    return _EPOCH + timedelta(days=(append_ms + _UTC_PLUS_7_MS) // _DAY_MS)


@lru_cache(maxsize=10_000)  # a document and what is said about it have one key
def murmur2(key: bytes) -> int:
    """Kafka's hash of a key, 31 bits, as its default partitioner takes it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        h = (h * m ^ (k ^ k >> 24) * m) & mask
    if whole < len(key):
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


class Recount:
    """Derives copies as of one directory offset and day at a time; call `at` before anything else."""

    def __init__(
        self, directory: Directory, inbox_partitions: int, behind: Callable[[int], None] | None = None
    ) -> None:
        """`behind`: told of an offset that the directory, read to its end, doesn't reach; its end counts then."""
        self._directory = directory
        self._behind = behind
        self._inbox_partitions = inbox_partitions
        self._view: DirectoryView = directory.at(0)
        self._day = date.min
        self._copies: dict[str, Copy] = {}
        self._senders: dict[str, Agency] = {}
        self._last: tuple[Said, list[Copy]] | None = None
        self._partitions: dict[str, int] = {}
        self._paths: dict[str, str] = {}

    def at(self, directory_offset: int, append_ms: int) -> None:
        """Take the directory as of that offset, on the day of that time; Unavailable if it wasn't read so far."""
        if self._behind is not None and directory_offset > self._directory.next_offset:
            self._behind(directory_offset)
            directory_offset = self._directory.next_offset
        day = day_in_vietnam(append_ms)
        if day != self._day or directory_offset != self._view.offset:
            self._view, self._day = self._directory.at(directory_offset), day
            self._copies, self._senders, self._paths, self._last = {}, {}, {}, None

    @property
    def view(self) -> DirectoryView:
        """The directory as of that offset."""
        return self._view

    def known(self, code: str) -> Agency | None:
        """The agency with that code, in whatever spelling, open or closed."""
        return self._view.agency(code)

    def ordinal(self, code: str) -> int:
        """The place of an agency in the order of the directory, as the duplicate store holds it."""
        return self._view.ordinal(code)

    def setting_aside(self, at: Coordinates) -> SettingAside | None:
        """The operator's decision about the submission there; whoever asks compares the digest."""
        return self._view.setting_aside(*at)

    def sender(self, code: str) -> Agency:
        """The agency that speaks; Rejected if it isn't open, is suspended, or that isn't its code of record."""
        found = self._senders.get(code)
        if found is None:
            found = self._senders[code] = self._speaker(code)
        return found

    def _speaker(self, code: str) -> Agency:
        match self._view.resolve(code, self._day):
            case Open(agency) if agency.code == code:
                if self._view.suspension(code) is not None:
                    raise Rejected("sender.suspended", code)
                return agency
            case Open(agency):
                raise Rejected("sender.unknown", f"{code[:40]} is not the code of record of {agency.code}")
            case Closed() | Redirected():
                raise Rejected("sender.closed", code)
        raise Rejected("sender.unknown", code[:40])

    def path(self, code: str) -> str:
        """The smallest subtree that an agency is counted in, as ``schemas/delta`` has it."""
        path = self._paths.get(code)
        if path is None:
            agency = self._view.agency(code)
            above = [] if agency is None else [agency, *self._view.ancestors(agency.code)]
            named = [one.code for one in above if one.level < Level.COMMUNE]
            path = self._paths[code] = "/".join(named[::-1]) or code
        return path

    def copies(self, said: Said, sender: Agency) -> list[Copy]:
        """Who must get an accepted statement, in the order named; Rejected if it may not be accepted."""
        if self._last is None or self._last[0] is not said:
            self._last = (said, self._routed(said, sender))
        return self._last[1]

    def _routed(self, said: Said, sender: Agency) -> list[Copy]:
        fields = said.fields
        if said.kind == "document":
            return self._addressed(fields["to"] + fields["information"], sender)
        if said.kind == "report":
            return [self.copy_to(self._superior(fields["to"], sender))]
        asked = fields["code"] == TAKE_BACK_ASKED
        return [self.copy_to(fields["recipient"] if asked else fields["document"]["sender"])]

    def copy_to(self, code: str) -> Copy:
        """The copy of the agency that stands behind a code; Rejected if there is none."""
        copy = self._copies.get(code)
        if copy is None:
            copy = self._copies[code] = self._resolve(code)
        return copy

    def deliverable(self, code: str) -> Copy | None:
        """The copy of an agency that may be unknown or closed; None then."""
        try:
            copy = self.copy_to(code)
        except Rejected:
            return None
        return None if copy.partition == UNDELIVERABLE else copy

    def _resolve(self, code: str) -> Copy:
        found = self._view.resolve(code, self._day)
        match found:
            case Open(agency):
                return Copy(agency.code, int(agency.level), self._partition(agency.code), None)
            case Redirected(original, agency):
                return Copy(agency.code, int(agency.level), self._partition(agency.code), original.code)
            case Closed(agency):
                return Copy(agency.code, int(agency.level), UNDELIVERABLE, None)
        raise Rejected("recipient.unknown", code[:40])

    def _partition(self, code: str) -> int:
        if code not in self._partitions:
            self._partitions[code] = murmur2(code.encode()) % self._inbox_partitions
        return self._partitions[code]

    def _addressed(self, addresses: list[str], sender: Agency) -> list[Copy]:
        found: dict[str, Copy] = {}
        for address in addresses:
            if not address.startswith("@"):
                copy = self.copy_to(address)
                found.setdefault(copy.recipient, copy)
                continue
            group = self._view.group(address)
            if group is None:
                raise Rejected("group.unknown", address[:60])
            if sender.code not in group.senders:
                raise Rejected("group.not_allowed", f"{sender.code} may not address {address[:60]}")
            for member in self._view.expand(address, self._day):
                if member.code != sender.code:
                    found.setdefault(member.code, self.copy_to(member.code))
        if not found:
            raise Rejected("recipients.empty", "the groups named have no other member")
        if len(found) > COPIES_MAX:
            raise Rejected("recipients.too_many", f"{len(found)} > {COPIES_MAX} after expansion")
        return list(found.values())

    def _superior(self, named: str | None, sender: Agency) -> str:
        if named is None:
            if sender.parent is None:
                raise Rejected("report.no_superior", f"{sender.code} is the top of the tree")
            return sender.parent
        agency = self._view.agency(named)
        if agency is None:
            raise Rejected("recipient.unknown", named[:40])
        if agency.code not in {above.code for above in self._view.ancestors(sender.code)}:
            raise Rejected("report.not_a_superior", f"{agency.code} is not above {sender.code}")
        return agency.code


def inbox_of(level: int) -> str:
    """The inbox topic of a level."""
    return f"inbox.{Level(level).label}"


def by_inbox(copies: Iterable[Copy]) -> dict[tuple[int, int], tuple[str, ...]]:
    """The recipients in each (level, inbox partition), in order."""
    inboxes: dict[tuple[int, int], list[str]] = {}
    for copy in copies:
        if copy.partition != UNDELIVERABLE:
            inboxes.setdefault((copy.level, copy.partition), []).append(copy.recipient)
    return {inbox: tuple(recipients) for inbox, recipients in inboxes.items()}
