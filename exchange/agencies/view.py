"""The directory as of one offset: what a batch pins, and what an audit asks for years later.

Guarantees: an entry at or after `DirectoryView.offset` is invisible, whatever was applied since; the same
offset gives the same answers in every process that read the same topic. A view is an offset and a
reference: make as many as you like. Does not know today: whoever asks names the date, that of the broker's
append time. For one thread, like its directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from exchange.agencies.codes import parse_code, to_old
from exchange.agencies.entries import (
    Agency,
    CertificateEntry,
    Erasure,
    Grant,
    Group,
    Leader,
    RevocationList,
    SettingAside,
    Suspension,
)
from exchange.agencies.groups import members
from exchange.agencies.history import Records
from exchange.agencies.resolution import Open, Resolution, Unknown, follow
from exchange.errors import InvariantBroken, Rejected

EXPANSIONS_MAX = 128
"""How many expansions of groups are remembered, over all views of a directory (85 KB each at most)."""


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryView:
    """The directory after exactly the records below `offset`. Made by `Directory` only."""

    offset: int
    _records: Records = field(repr=False)

    def agency(self, code: str) -> Agency | None:
        """Return the agency with this code, open or closed; None if there is none.

        `code`: canonical, or one of the agency's other codes, or an old form that bridges to either. What the
        directory says wins over the bridge. A malformed code is an unknown one.
        """
        return self._records.agencies.at(code, self.offset) or self._by_other_code(code)

    def resolve(self, code: str, on: date) -> Resolution:
        """Tell who stands behind `code`, read as by `agency`, on the date `on`."""
        agency = self._records.agencies.at(code, self.offset) or self._by_other_code(code)
        if agency is None:
            return Unknown(code)
        # `is_open`, written out: the hop asks this for each recipient.
        if agency.valid_from <= on and (agency.valid_to is None or on <= agency.valid_to):
            return Open(agency)
        return follow(agency, on, self.agency)

    def leader(self, leader_id: str) -> Leader | None:
        """Return the person with this id, whatever the date; None if unknown."""
        return self._records.leaders.at(leader_id, self.offset)

    def certificate(self, fingerprint: bytes) -> CertificateEntry | None:
        """Return the certificate whose DER has this SHA-256 (32 bytes); None if it isn't listed."""
        return self._records.certificates.at(fingerprint, self.offset)

    def authorities(self) -> Iterator[CertificateEntry]:
        """Yield the certificate of every issuing authority, in the order of the log."""
        for fingerprint in tuple(self._records.authorities):
            entry = self._records.certificates.at(fingerprint, self.offset)
            if entry is not None and entry.role == "authority":
                yield entry

    def encryption_certificates(self, agency: str) -> list[CertificateEntry]:
        """Return what is listed for encrypting to an agency (its canonical code), in the order of the log."""
        found = (self._records.certificates.at(one, self.offset) for one in self._records.encryption.get(agency, ()))
        return [entry for entry in found if entry is not None and (entry.role, entry.agency) == ("encryption", agency)]

    def revocation_list(self, issuer: str) -> RevocationList | None:
        """Return the newest CRL of an authority; `issuer`: SHA-256 of its certificate, lower-case hex."""
        return self._records.revocation_lists.at(issuer, self.offset)

    def group(self, code: str) -> Group | None:
        """Return the group with this code (``@provinces``); None if unknown."""
        return self._records.groups.at(code, self.offset)

    @property
    def sets_anything_aside(self) -> bool:
        """False if no submission was ever set aside, which is usual: nobody needs to ask for each then."""
        return not self._records.settings_aside.is_empty

    def setting_aside(self, topic: str, partition: int, offset: int) -> SettingAside | None:
        """Return the decision about the submission there, which holds only for the bytes that it names; None if
        there is none."""
        return self._records.settings_aside.at((topic, partition, offset), self.offset)

    def erasures(self, since: int = 0) -> list[tuple[int, Erasure]]:
        """Return the decisions to erase, with the offset of each, from that offset on; in the order of the log."""
        return [(offset, one) for offset, one in self._records.erasures if since <= offset < self.offset]

    def suspension(self, code: str) -> Suspension | None:
        """Return the decision that silences the agency with this canonical code now; None if there is none."""
        standing = self.last_suspension(code)
        return standing if standing is not None and standing.is_suspended else None

    def last_suspension(self, code: str) -> Suspension | None:
        """Return the newest decision about an agency's voice, be it that a suspension is over."""
        return self._records.suspensions.at(code, self.offset)

    def suspensions(self) -> list[Suspension]:
        """Return the decisions that silence agencies now."""
        return [one for one in self._records.suspensions.all_at(self.offset) if one.is_suspended]

    def grants(self, user: str) -> list[Grant]:
        """Return what stands of the roles of one user, revoked ones left out."""
        histories = self._records.grants.get(user)
        return [] if histories is None else [one for one in histories.all_at(self.offset) if one.is_granted]

    def last_grant(self, grant: Grant) -> Grant | None:
        """Return the newest entry with the key of `grant`, be it a revocation."""
        histories = self._records.grants.get(grant.user)
        return None if histories is None else histories.at((grant.role, grant.scope), self.offset)

    def expand(self, group_code: str, on: date) -> tuple[Agency, ...]:
        """Return the members of a group that are open on `on`, sorted by code; see `groups.members`.

        Remembered per (offset, group, date), since a national group means a walk over the whole directory.

        Raises: `Rejected` ``group.unknown``; the sender must name another one.
        """
        key = (self.offset, group_code, on)
        expansions = self._records.expansions
        remembered = expansions.get(key)
        if remembered is not None:
            return remembered
        group = self.group(group_code)
        if group is None:
            raise Rejected("group.unknown", f"{group_code[:60]!r} at directory offset {self.offset}")
        expansion = members(self, group, on)
        while len(expansions) >= EXPANSIONS_MAX:
            expansions.pop(next(iter(expansions)), None)
        expansions[key] = expansion
        return expansion

    def children(self, code: str) -> tuple[Agency, ...]:
        """Return the agencies right below `code` (canonical), open and closed, sorted by code."""
        named = self._records.children.get(code)
        if named is None:
            return ()
        found = (self._records.agencies.at(child, self.offset) for child in sorted(named))
        return tuple(agency for agency in found if agency is not None and agency.parent == code)

    def ancestors(self, code: str) -> tuple[Agency, ...]:
        """Return the agencies above `code`, nearest first; a parent missing or met before ends the walk."""
        above: list[Agency] = []
        seen = {code}
        agency = self.agency(code)
        while agency is not None and agency.parent is not None and agency.parent not in seen:
            seen.add(agency.parent)
            agency = self._records.agencies.at(agency.parent, self.offset)
            if agency is not None:
                above.append(agency)
        return tuple(above)

    def agencies(self) -> Iterator[Agency]:
        """Yield every agency, open and closed, by ordinal."""
        for code in self._records.order:
            agency = self._records.agencies.at(code, self.offset)
            if agency is None:  # they stand in the order of the log: all further ones are later
                return
            yield agency

    def ordinal(self, code: str) -> int:
        """Return the place of the agency in the order of first appearance in the log, counted from 0.

        `code`: canonical. An agency keeps its ordinal for ever: compact stores hold it in place of the code.

        Raises: `InvariantBroken` if the view has no such agency: resolve before you store.
        """
        if self._records.agencies.at(code, self.offset) is None:
            raise InvariantBroken(f"no agency {code[:60]!r} at directory offset {self.offset}")
        return self._records.ordinals[code]

    def agency_by_ordinal(self, ordinal: int) -> Agency:
        """Return the agency with this ordinal, open or closed.

        Raises: `InvariantBroken` if the view has none: whoever stored it knew a later directory.
        """
        if 0 <= ordinal < len(self._records.order):
            agency = self._records.agencies.at(self._records.order[ordinal], self.offset)
            if agency is not None:
                return agency
        raise InvariantBroken(f"no agency with ordinal {ordinal} at directory offset {self.offset}")

    def _by_other_code(self, text: str) -> Agency | None:
        """Find an agency with another canonical code: by what the directory says, then by the bridge."""
        claimed = self._claimant(text)
        if claimed is not None:
            return claimed
        try:
            code = parse_code(text)
        except Rejected:
            return None
        # A shortened old form: its full form may be one of an agency's other codes.
        old = to_old(code)
        stated = None if old is None else self._claimant(old)
        return stated or self._records.agencies.at(code, self.offset)

    def _claimant(self, other_code: str) -> Agency | None:
        """Return who claims `other_code` in the view: the latest claim that its agency still upholds."""
        for offset, code in reversed(self._records.claims.get(other_code, ())):
            if offset < self.offset:
                agency = self._records.agencies.at(code, self.offset)
                if agency is not None and other_code in agency.other_codes:
                    return agency
        return None
