"""What one partition remembers of the statements it accepted: the duplicate store, in memory.

Guarantees: a change is *staged* first and visible at once within the batch, but nothing outlives `drop` unless
`apply` was called, which the hop does only after its transaction committed. Everything applied can be put back
from the changelog: its records hold what `changes` says, and what the `sweep` carries.

A claim is one `bytes` value, so a million of them fit in 250 MB::

    digest 32 | accepted offset 8 | append ms 8 | topic 1 | recipients 4 | ordinals 4 × n | states 1 × n

The key is the first 16 bytes of SHA-256 over thread, sender and id. Entries leave oldest first once they are
older than the window that the gate accepts and every copy is final.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from exchange.errors import InvariantBroken
from exchange.pipeline.sweep import Put, Sweep, burden_of
from exchange.statements import SUBMISSION_TOPICS
from exchange.statements.chain import MAIN, UNDELIVERABLE, WITHDRAWN
from exchange.statements.status import FINISHED, REFUSED

REMEMBER_MS = 46 * 86_400_000
"""One day longer than the window that the gate accepts."""

_HEAD = struct.Struct("<32sQQBI")
_FINAL = frozenset({REFUSED, FINISHED, WITHDRAWN, UNDELIVERABLE})


class Move(NamedTuple):
    """One copy's new state: the claim's key, the copy's place in it, the state byte (see `chain`)."""

    key: bytes
    place: int
    state: int


class Claim(NamedTuple):
    """A claim, read. `topic`: where it was submitted, for a document its lane."""

    digest: bytes
    offset: int
    append_ms: int
    topic: str
    recipients: int
    packed: bytes

    @property
    def ordinals(self) -> tuple[int, ...]:
        """Directory ordinals of the recipients, in the order of their copies."""
        return struct.unpack_from(f"<{self.recipients}I", self.packed, _HEAD.size)

    def state(self, place: int) -> int:
        """The state byte of one copy."""
        return self.packed[_HEAD.size + 4 * self.recipients + place]


def claim_key(thread: str, sender: str, statement_id: str) -> bytes:
    """The store's key (16 bytes): an id is unique for its sender within a thread."""
    return sha256(f"{thread}\0{sender}\0{statement_id}".encode()).digest()[:16]


def pack(digest: bytes, offset: int, append_ms: int, topic: str, ordinals: Sequence[int], states: bytes) -> bytes:
    """Make a claim's value; `states` has one byte for each ordinal."""
    count = len(ordinals)
    head = _HEAD.pack(digest, offset, append_ms, SUBMISSION_TOPICS.index(topic), count)
    return head + struct.pack(f"<{count}I", *ordinals) + states if count else head


def unpack(value: bytes) -> Claim:
    """Read a claim's value."""
    digest, offset, append_ms, topic, count = _HEAD.unpack_from(value)
    return Claim(digest, offset, append_ms, SUBMISSION_TOPICS[topic], count, value)


class Changes(NamedTuple):
    """What a batch stages, in order: the body of its changelog record. `forgets`: keys of claims that are over."""

    puts: list[Put]
    moves: list[Move]
    forgets: list[bytes]


class PartitionStore:
    """The claims of one partition, with the staged ones of the batch under way."""

    __slots__ = ("_applied", "_staged", "changes", "sweep")

    def __init__(self, claims: dict[bytes, bytes] | None = None, sweep: Sweep | None = None) -> None:
        self._applied = claims if claims is not None else {}
        self._staged: dict[bytes, bytes] = {}
        self.changes = Changes([], [], [])
        self.sweep = sweep or Sweep()

    def __len__(self) -> int:
        return len(self._applied)

    @property
    def is_sweep_due(self) -> bool:
        """Whether to `begin_sweep`, before the next batch."""
        return self.sweep.is_due(len(self._applied))

    def begin_sweep(self, at: int) -> None:
        """Begin to carry on all claims; no record of the changelog from now on has an offset below `at`."""
        self.sweep.begin(at, self._applied)

    def carry(self) -> list[Put]:
        """What the sweep carries on with the batch under way, as it was before it."""
        return self.sweep.take(self._applied, sum(len(put.value) for put in self.changes.puts))

    @property
    def claims_after(self) -> int:
        """How many claims there will be once what is staged is applied."""
        return len(self._applied) + len(self.changes.puts) - len(self.changes.forgets)

    def get(self, key: bytes) -> Claim | None:
        """The claim, as this batch has left it so far; None if nobody holds the key."""
        value = self._staged.get(key) or self._applied.get(key)
        return None if value is None else unpack(value)

    def put(self, key: bytes, value: bytes) -> None:
        """Stage a new claim."""
        self._staged[key] = value
        self.changes.puts.append(Put(key, value))

    def move(self, key: bytes, place: int, state: int) -> None:
        """Stage a copy's new state; the claim must be there."""
        self._staged[key] = _moved(self._staged.get(key) or self._applied[key], place, state)
        self.changes.moves.append(Move(key, place, state))

    def forget(self, before_ms: int, most: int) -> None:
        """Stage letting go of claims accepted before `before_ms` whose copies are all final; nobody asks after.

        Looks at the `most` oldest. One that is old but not final goes to the end of the queue.
        """
        for key in list(_first(self._applied, most)):
            if key in self._staged:
                continue
            value = self._applied[key]
            claim = unpack(value)
            if claim.append_ms >= before_ms:
                break
            if _is_final(claim):
                self.changes.forgets.append(key)
            else:
                del self._applied[key]
                self._applied[key] = value

    def apply(self) -> None:
        """The transaction committed: make what is staged last."""
        puts, moves, forgets = self.changes
        self._applied.update(self._staged)
        for key in forgets:
            del self._applied[key]
        self.sweep.apply(len(puts) + len(moves) + len(forgets))
        self.drop()

    def drop(self) -> None:
        """The transaction aborted: forget what is staged."""
        self._staged = {}
        self.changes = Changes([], [], [])


class Restoring:
    """Putting a store together from its changelog, record by record, in their order.

    `whole_from`: the offset that is read from, where a whole sweep began. What is said there of a claim that has not
    been met yet is passed over: it comes, as it was after that, carried by the sweep. 0: read from the beginning.
    """

    def __init__(self, whole_from: int = 0) -> None:
        self._whole_from = whole_from
        self._claims: dict[bytes, bytes] = {}
        self._burden = 0

    def add(self, carried: Sequence[Put], puts: Sequence[Put], moves: Sequence[Move], forgets: Sequence[bytes]) -> None:
        """Apply one changelog record. Raises: InvariantBroken: it speaks of a claim that was never made."""
        claims = self._claims
        claims.update(carried)
        claims.update(puts)
        for key, place, state in moves:
            if self._has(key):
                claims[key] = _moved(claims[key], place, state)
        for key in forgets:
            if self._has(key):
                del claims[key]
        self._burden += burden_of(len(carried) + len(puts) + len(moves) + len(forgets))

    def _has(self, key: bytes) -> bool:
        if key not in self._claims and not self._whole_from:
            raise InvariantBroken(f"the changelog speaks of claim {key.hex()}, which it never made")
        return key in self._claims

    def __len__(self) -> int:
        return len(self._claims)

    def store(self) -> PartitionStore:
        """The store as of the last record; claims from the middle of a log are put in order of age."""
        if self._whole_from:
            self._claims = dict(sorted(self._claims.items(), key=_age))
        return PartitionStore(self._claims, Sweep(self._whole_from, self._burden))


def _age(item: tuple[bytes, bytes]) -> int:
    append_ms: int = _HEAD.unpack_from(item[1])[2]
    return append_ms


def _first(entries: dict[bytes, bytes], most: int) -> Iterator[bytes]:
    for _, key in zip(range(most), entries, strict=False):
        yield key


def _moved(value: bytes, place: int, state: int) -> bytes:
    count = _HEAD.unpack_from(value)[4]
    at = _HEAD.size + 4 * count + place
    return value[:at] + bytes((state,)) + value[at + 1 :]


def _is_final(claim: Claim) -> bool:
    return all(claim.state(place) & MAIN in _FINAL for place in range(claim.recipients))
