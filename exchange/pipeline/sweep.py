"""The sweep: the changelog holds every live claim again and again, so a restore needs to read only its last part.

A sweep begins at an offset of the changelog and carries the store's claims on, some with each transaction, until all
that were there when it began have been written again: then it is whole, and reading from where it began gives the
whole store. The next one begins when what a restore would read since then weighs twice the store. So a restore reads
about three times what the store holds, however long the log; and no transaction waits for a snapshot.

Guarantees: what is taken counts as carried only once the transaction has committed (`apply`); after an abort it is
taken again. A sweep that dies with its worker was never whole: its successor begins another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CARRIED_BYTES = 16 * 1024
"""With each transaction and partition: some 250 claims. As much again as the batch's own claims take, for a sweep must
end however fast they come."""
CARRIED_BYTES_MAX = 1024 * 1024
"""A changelog record has to fit into 8 MiB."""
RECORD_BURDEN = 10
"""Reading a changelog record costs a restore as much as so many claims in it."""
BURDEN_MIN = 50_000
"""Not worth a sweep: less than a tenth of a second of reading."""


class Put(NamedTuple):
    """A claim in the changelog: key (16 bytes) and packed value."""

    key: bytes
    value: bytes


def burden_of(changes: int) -> int:
    """What one changelog record with so many claims, moves and forgets costs a restore, in claims."""
    return RECORD_BURDEN + changes


class Sweep:
    """The sweeps of one partition. `whole_from`: offset of the changelog at which the last whole one began; 0: none."""

    __slots__ = ("_began_at", "_burden", "_burden_before", "_left", "_taken", "_taken_claims", "whole_from")

    def __init__(self, whole_from: int = 0, burden: int = 0) -> None:
        self.whole_from = whole_from
        self._burden = burden
        """What a restore has to read, from `whole_from` on."""
        self._began_at: int | None = None
        self._burden_before = 0
        self._left: list[bytes] = []
        """Keys that the running sweep has still to carry, the next one last."""
        self._taken = self._taken_claims = 0
        """Staged: how many keys off `_left`, and how many of those still were claims."""

    def is_due(self, claims: int) -> bool:
        """Whether another one should begin, the store holding so many claims."""
        return self._began_at is None and self._burden >= BURDEN_MIN + 2 * claims

    def begin(self, at: int, claims: Mapping[bytes, bytes]) -> None:
        """Begin one; no record that is written from now on has an offset below `at`."""
        self._began_at = at
        self._burden_before = self._burden
        self._left = list(claims)
        self._left.reverse()

    def take(self, claims: Mapping[bytes, bytes], beside_bytes: int) -> list[Put]:
        """What the next changelog record carries, beside puts of `beside_bytes`; each record asks once."""
        carried: list[Put] = []
        size, most = 0, min(CARRIED_BYTES + beside_bytes, CARRIED_BYTES_MAX)
        taken, left = 0, self._left
        while taken < len(left) and size < most:
            taken += 1
            key = left[-taken]
            value = claims.get(key)
            if value is not None:  # else it was let go of meanwhile
                carried.append(Put(key, value))
                size += len(key) + len(value)
        self._taken, self._taken_claims = taken, len(carried)
        return carried

    def apply(self, changes: int) -> None:
        """The transaction committed; beside what was taken its record holds so many changes."""
        self._burden += burden_of(changes + self._taken_claims)
        if self._taken:
            del self._left[-self._taken :]
        if self._began_at is not None and not self._left:
            self.whole_from, self._began_at = self._began_at, None
            self._burden -= self._burden_before
