"""The directory: the registrar's entries in the order of their topic, with every earlier state at hand.

Guarantees: append-only, nothing forgotten; a view of an earlier offset answers as a process did that had read
no further, so a decision can be derived again years later; an old entry said again can't roll a newer one
back. Does not verify signatures (only the gate's verified entries come here), does no I/O, and does not judge
whether it is fresh enough: who feeds it knows when it last heard from the registrar.

Offsets are Kafka's: a view's or the directory's offset is always that of the *next* record. Gaps (transaction
markers) are usual. For one thread: other ones read the topic into a directory of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.agencies.entries import Entry
from exchange.agencies.history import Records
from exchange.agencies.view import DirectoryView
from exchange.errors import InvariantBroken, Unavailable


class Directory:
    """What the registrar said so far. Empty at first; feed it with `apply`."""

    __slots__ = ("_latest", "_records", "_stale_entries")

    def __init__(self) -> None:
        self._records = Records()
        self._latest = DirectoryView(0, self._records)
        self._stale_entries = 0

    @property
    def next_offset(self) -> int:
        """The offset after the last record applied; 0 before the first."""
        return self._latest.offset

    @property
    def stale_entries(self) -> int:
        """How many entries were ignored, because their version wasn't higher than the last of their key."""
        return self._stale_entries

    def apply(self, offset: int, entries: Sequence[Entry]) -> None:
        """Apply the entries of the record at `offset`, in their order.

        Stale ones are counted and ignored, the others apply. A record without entries only moves the offset.

        Raises: `InvariantBroken` if `offset` isn't beyond every one applied: the reader repeated or reordered
            the topic.
        """
        if offset < self.next_offset:
            raise InvariantBroken(f"directory record {offset} applied after {self.next_offset - 1}")
        for entry in entries:
            if not self._records.admit(offset, entry):
                self._stale_entries += 1
        self._latest = DirectoryView(offset + 1, self._records)

    def latest(self) -> DirectoryView:
        """Return the view after every record applied; the same object until the next one."""
        return self._latest

    def at(self, next_offset: int) -> DirectoryView:
        """Return the view as of exactly the records below `next_offset`.

        Raises: `Unavailable` ``directory.behind`` if not all of them were applied yet: read on, ask again.
            `InvariantBroken` for a negative offset.
        """
        if next_offset == self.next_offset:
            return self._latest
        if next_offset < 0:
            raise InvariantBroken(f"directory offset {next_offset}")
        if next_offset > self.next_offset:
            raise Unavailable("directory.behind", f"asked for {next_offset}, read to {self.next_offset}")
        return DirectoryView(next_offset, self._records)
