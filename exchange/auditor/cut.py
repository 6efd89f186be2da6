"""Up to where an audit goes, and where it reads: a consistent cut, and a source of records.

What the hop writes and the offsets that it commits are one transaction. So whoever takes the committed offsets
first, and then reads every topic at least to where it ended by then, sees everything that submissions below
those offsets led to. What names a submission at or beyond them came later and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol

from exchange.backbone.reading import Read


@dataclass(frozen=True, slots=True)
class Cut:
    """`next_offsets`: committed by the hop's group, of every source partition (0: nothing yet).

    `openings`: the first offset still kept, where it isn't 0; what names an earlier one can't be checked any more.
    `partitions`: of every keyed topic; `inbox_partitions`: of every inbox topic. `erased`: the submissions whose
    content was destroyed by a decision of the directory; what they led to can't be derived again, and is passed over.
    """

    partitions: int
    inbox_partitions: int
    next_offsets: Mapping[tuple[str, int], int]
    openings: Mapping[tuple[str, int], int] = field(default_factory=dict)
    erased: Mapping[tuple[str, int], Set[int]] = field(default_factory=dict)

    def next(self, topic: str, partition: int) -> int:
        """The first offset in flight."""
        return self.next_offsets[topic, partition]

    def opening(self, topic: str, partition: int) -> int:
        """The first offset that is audited."""
        return self.openings.get((topic, partition), 0)

    def covers(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the outcome of that submission is audited; false for what is no source partition."""
        where = (topic, partition)
        if not self.openings.get(where, 0) <= offset < self.next_offsets.get(where, 0):
            return False
        return not self.erased or offset not in self.erased.get(where, ())

    def is_erased(self, topic: str, partition: int, offset: int) -> bool:
        """Whether that submission was erased."""
        return offset in self.erased.get((topic, partition), ())


class Source(Protocol):
    """Where the records come from: Kafka, or a test's lists."""

    def read(self, topic: str, partition: int) -> Iterable[Read]:
        """Yield the records of one partition, oldest first, to its end. May be asked for more than once."""
        ...

    def first(self, topic: str, partition: int) -> int:
        """The offset before which nothing is kept any more; 0 if nothing has left."""
        ...


class Earlier(Protocol):
    """What has left the topics: the archive."""

    def first_offset(self, topic: str, partition: int) -> int | None:
        """Where it begins; None if it holds nothing of the partition."""
        ...

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Read]:
        """Yield the records from `start` to before `end`, oldest first; not what was erased."""
        ...
