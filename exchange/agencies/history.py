"""What the directory remembers: each entry ever applied, under its key, with the offset that said it.

Guarantees: nothing is changed or removed, so an answer for an offset stays the same for ever; a version that
is not higher than the last one of its key is refused. Does not check what an entry says: the gate verified
the registrar's signature before. For one thread.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Hashable
from datetime import date
from operator import itemgetter
from typing import Generic, TypeVar

from exchange.agencies.entries import (
    Agency,
    CertificateEntry,
    Entry,
    Erasure,
    Grant,
    Group,
    Leader,
    RevocationList,
    RoleName,
    SettingAside,
    Suspension,
)

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item", bound=Entry)

_offset_of = itemgetter(0)


class History(Generic[Key, Item]):
    """The versions of the entries of one kind, by key, in the order of the log."""

    __slots__ = ("_versions",)

    def __init__(self) -> None:
        self._versions: dict[Key, list[tuple[int, Item]]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever admitted."""
        return not self._versions

    def admit(self, key: Key, offset: int, entry: Item) -> bool:
        """Append a version; False, and nothing happens, if it is not higher than the key's last one."""
        versions = self._versions.get(key)
        if versions is None:
            self._versions[key] = [(offset, entry)]
            return True
        if entry.version <= versions[-1][1].version:
            return False
        versions.append((offset, entry))
        return True

    def at(self, key: Key, next_offset: int) -> Item | None:
        """Return the entry that the records below `next_offset` leave, None if they have none.

        The hop's hot path: one look-up and one comparison for a view of the present.
        """
        versions = self._versions.get(key)
        if versions is None:
            return None
        offset, entry = versions[-1]
        if offset < next_offset:
            return entry
        index = bisect_left(versions, next_offset, key=_offset_of)
        return versions[index - 1][1] if index else None

    def all_at(self, next_offset: int) -> list[Item]:
        """Return what the records below `next_offset` leave of every key, in the order of first appearance."""
        found = (self.at(key, next_offset) for key in tuple(self._versions))
        return [entry for entry in found if entry is not None]


class Records:
    """All histories, and the indexes over agencies. Shared by the directory and its views."""

    __slots__ = (
        "agencies",
        "authorities",
        "certificates",
        "children",
        "claims",
        "encryption",
        "erasures",
        "expansions",
        "grants",
        "groups",
        "leaders",
        "order",
        "ordinals",
        "revocation_lists",
        "settings_aside",
        "suspensions",
    )

    def __init__(self) -> None:
        self.agencies: History[str, Agency] = History()
        self.leaders: History[str, Leader] = History()
        self.certificates: History[bytes, CertificateEntry] = History()
        # Fingerprints of every certificate that was ever listed as an authority's; a view filters.
        self.authorities: dict[bytes, None] = {}
        # Agency → fingerprints of every certificate that was ever listed for encrypting to it; a view filters.
        self.encryption: dict[str, dict[bytes, None]] = {}
        self.revocation_lists: History[str, RevocationList] = History()
        self.groups: History[str, Group] = History()
        self.settings_aside: History[tuple[str, int, int], SettingAside] = History()
        # (offset, decision), in the order of the log: a later one about the same document adds to an earlier one.
        self.erasures: list[tuple[int, Erasure]] = []
        self.suspensions: History[str, Suspension] = History()
        # User → each grant that was ever said, by (role, scope).
        self.grants: dict[str, History[tuple[RoleName, str], Grant]] = {}
        # Agency codes in the order of first appearance, and the place of each.
        self.order: list[str] = []
        self.ordinals: dict[str, int] = {}
        # Other code → the agencies that ever claimed it, latest claim last: (offset, canonical code).
        self.claims: dict[str, list[tuple[int, str]]] = {}
        # Parent → every agency that ever named it (a dict for its order); a view filters.
        self.children: dict[str, dict[str, None]] = {}
        # (view's offset, group, date) → members: a cache, owned by `groups`.
        self.expansions: dict[tuple[int, str, date], tuple[Agency, ...]] = {}

    def admit(self, offset: int, entry: Entry) -> bool:
        """File one entry; False if its version is stale."""
        match entry:
            case Agency():
                return self._admit_agency(offset, entry)
            case Leader():
                return self.leaders.admit(entry.id, offset, entry)
            case CertificateEntry():
                fingerprint = hashlib.sha256(entry.certificate).digest()
                if entry.role == "authority":
                    self.authorities[fingerprint] = None
                if entry.role == "encryption":
                    self.encryption.setdefault(entry.agency, {})[fingerprint] = None
                return self.certificates.admit(fingerprint, offset, entry)
            case RevocationList():
                return self.revocation_lists.admit(entry.issuer, offset, entry)
            case Group():
                return self.groups.admit(entry.code, offset, entry)
            case SettingAside():
                return self.settings_aside.admit((entry.topic, entry.partition, entry.offset), offset, entry)
            case Erasure():
                self.erasures.append((offset, entry))
                return True
            case Suspension():
                return self.suspensions.admit(entry.code, offset, entry)
            case Grant():
                return self.grants.setdefault(entry.user, History()).admit((entry.role, entry.scope), offset, entry)

    def _admit_agency(self, offset: int, agency: Agency) -> bool:
        if not self.agencies.admit(agency.code, offset, agency):
            return False
        if agency.code not in self.ordinals:
            self.ordinals[agency.code] = len(self.order)
            self.order.append(agency.code)
        for other in agency.other_codes:
            self.claims.setdefault(other, []).append((offset, agency.code))
        if agency.parent is not None:
            self.children.setdefault(agency.parent, {})[agency.code] = None
        return True
