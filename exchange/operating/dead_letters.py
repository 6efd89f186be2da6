"""Dead letters as an operator sees them: read from their topic, counted by code and sender, picked.

Guarantees: constant memory for counting, whatever hostile senders claim: who is unproven counts as nobody. What is
picked is bounded in number and bytes. Reads what is still in the topic (`leaves_after_ms`); the archive has what left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exchange.agencies import DirectoryView
from exchange.auditor.said import Said, read_statement
from exchange.backbone.clients import Config
from exchange.backbone.durable import Place
from exchange.backbone.reading import Read, read_to_end
from exchange.errors import Rejected
from exchange.statements import identify

DEAD_LETTERS = "dead-letters"
PICKED_MAX = 10_000
PICKED_BYTES_MAX = 64 * 1024 * 1024


class Letter(NamedTuple):
    """One dead letter. `at`: itself; `source`: the submission that it keeps, with its broker time, key and bytes.

    `sender`: only if its signature had verified. `code`, `detail`: why it was not accepted.
    """

    at: Place
    source: Place
    append_ms: int
    directory_offset: int
    code: str
    detail: str
    sender: str | None
    key: bytes | None
    value: bytes

    @property
    def said(self) -> Said | None:
        """What it says, verified or not; None if that can't be read."""
        try:
            return read_statement(self.value)
        except Rejected:
            return None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters; everything given must hold. `places`: of the submissions; `sender`: proven; times of arrival."""

    places: frozenset[Place] | None = None
    code: str | None = None
    sender: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def holds(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (self.places is None or letter.source in self.places)
            and (self.code is None or letter.code == self.code)
            and (self.sender is None or letter.sender == self.sender)
            and (self.since_ms is None or letter.append_ms >= self.since_ms)
            and (self.until_ms is None or letter.append_ms < self.until_ms)
        )


EVERYTHING = Selection()


@dataclass(slots=True)
class Heap:
    """The letters of one code and one sender (None: of those whom nothing proves)."""

    code: str
    sender: str | None
    letters: int = 0
    bytes: int = 0
    first_ms: int = 0
    last_ms: int = 0
    last: Place = ("", 0, 0)

    def add(self, letter: Letter) -> None:
        """Count one."""
        self.first_ms = min(self.first_ms, letter.append_ms) if self.letters else letter.append_ms
        if letter.append_ms >= self.last_ms:
            self.last_ms, self.last = letter.append_ms, letter.source
        self.letters += 1
        self.bytes += len(letter.value)


def read_letters(base: Config, partitions: Sequence[int], selection: Selection = EVERYTHING) -> Iterator[Letter]:
    """The selected letters, each partition in its order. Raises: Unavailable."""
    for portion in read_to_end(base, {(DEAD_LETTERS, partition): None for partition in partitions}):
        yield from (letter for letter in map(letter_of, portion) if selection.holds(letter))


def letter_of(read: Read) -> Letter:
    """The letter in a record of the topic."""
    fields = identify(read.value).decode(read.value)
    return Letter(
        (read.topic, read.partition, read.offset),
        (fields["topic"], fields["partition"], fields["offset"]),
        *(fields[name] for name in ("append_ms", "directory_offset", "code", "detail", "sender", "key", "value")),
    )


def erased_places(view: DirectoryView) -> frozenset[Place]:
    """The submissions whose content was erased: not to be shown or sent, though the topic still has them."""
    return frozenset((one.topic, one.partition, one.offset) for _, e in view.erasures() for one in e.statements)


def heaps(letters: Iterable[Letter]) -> list[Heap]:
    """Letters counted by code and sender, the largest heap first."""
    found: dict[tuple[str, str | None], Heap] = {}
    for letter in letters:
        key = letter.code, letter.sender
        heap = found.get(key)
        if heap is None:
            heap = found[key] = Heap(*key)
        heap.add(letter)
    return sorted(found.values(), key=lambda heap: (-heap.letters, heap.code, heap.sender or ""))


def picked(letters: Iterable[Letter]) -> list[Letter]:
    """All of them, in the order of their arrival; Rejected ``dead_letters.too_many``: select fewer."""
    found: list[Letter] = []
    size = 0
    for letter in letters:
        found.append(letter)
        size += len(letter.value)
        if len(found) > PICKED_MAX or size > PICKED_BYTES_MAX:
            limit = f"{PICKED_MAX:,} letters or {PICKED_BYTES_MAX // 1024**2} MiB"
            raise Rejected("dead_letters.too_many", f"more than {limit} at a time")
    return sorted(found, key=lambda letter: (letter.append_ms, letter.source))
