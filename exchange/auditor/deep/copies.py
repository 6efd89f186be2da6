"""What acceptance claimed and where every copy stands, in one partition number, derived in the trace's order.

Guarantees: shares no code with the hop's store. What an accepted statement puts and moves there is derived from its
bytes, the directory and what was accepted before it. Holds about 200 bytes for each accepted statement, and 5 for each
copy.

Source: layout of a claim as in `exchange.auditor.claims`, with the recipients' ordinals (4 bytes each) and states (1).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.deep.chain import CHANGE, TAKE_BACK, UNDELIVERABLE, WAITING, after, asked
from exchange.auditor.recount import TAKE_BACK_ASKED, Recount
from exchange.auditor.recount import UNDELIVERABLE as NO_INBOX
from exchange.auditor.recount import Copy as Delivered
from exchange.auditor.said import Said, claim_key
from exchange.errors import Rejected
from exchange.statements import SUBMISSION_TOPICS

EXPIRES_MS = 45 * 86_400_000
REMEMBER_MS = 46 * 86_400_000

_HEAD = struct.Struct("<32sQQBI")
_FINAL = {2, 6, 7, 8}
_GONE = {"document.unknown", "document.expired", "thread.unknown"}


class Move(NamedTuple):
    """One copy's new state: the claim's key, the copy's place in it, the state."""

    key: bytes
    place: int
    state: int


class Step(NamedTuple):
    """What a status did to its copy."""

    moved: bool
    state: int


@dataclass(slots=True)
class Claim:
    """An accepted statement. `recipients`: ordinals of the directory; `states`: a byte each."""

    digest: bytes
    offset: int
    append_ms: int
    topic: str
    recipients: tuple[int, ...]
    states: bytearray

    def packed(self) -> bytes:
        """As the duplicate store's log puts it."""
        count = len(self.recipients)
        head = _HEAD.pack(self.digest, self.offset, self.append_ms, SUBMISSION_TOPICS.index(self.topic), count)
        return head + struct.pack(f"<{count}I", *self.recipients) + self.states

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to its copies any more."""
        return all(state & 0x0F in _FINAL for state in self.states)


class Outcome(NamedTuple):
    """What accepting a statement means here."""

    key: bytes
    claim: Claim
    step: Step | None
    moves: list[Move]


class Unknown(Exception):
    """What it is about was accepted before the oldest submission kept: nothing can be said."""


class Copies:
    """The claims of one partition number. `partitions`: of every keyed topic; `forgotten`: keys that the hop's log lets
    go of, sooner or later; `is_complete`: nothing was accepted before the oldest record kept.
    """

    def __init__(self, recount: Recount, partitions: int, forgotten: set[bytes], *, is_complete: bool) -> None:
        self._recount = recount
        self._forgotten = forgotten
        self.partitions = partitions
        self.is_complete = is_complete
        self.claims: dict[bytes, Claim] = {}
        self.stated = ""
        """What the event under way says: its code, or its outcome if it has none. Asked only about what the hop's log
        forgets, since nothing else tells when it did."""

    def earlier(self, said: Said) -> Claim | None:
        """The claim of the same id, if it was accepted before."""
        key = said.key
        if key in self._forgotten and not self.stated.startswith("duplicate"):
            return None
        return self.claims.get(key)

    def outcome(self, at: Coordinates, append_ms: int, said: Said, copies: Sequence[Delivered]) -> Outcome:
        """What accepting means. Raises: Rejected as the hop must have; `Unknown`."""
        if said.kind == "status":
            step, move = self._status(said, append_ms)
            return self.bare(at, append_ms, said, [])._replace(step=step, moves=[move] if step.moved else [])
        moves = self._requests(at, said, copies) if said.fields.get("thread") is not None else []
        return self.bare(at, append_ms, said, copies)._replace(moves=moves)

    def bare(self, at: Coordinates, append_ms: int, said: Said, copies: Sequence[Delivered]) -> Outcome:
        """What accepting puts, whatever it does to earlier copies; a status's copies have no state of their own."""
        ordinals = tuple(self._recount.ordinal(copy.recipient) for copy in copies)
        states = bytearray(UNDELIVERABLE if copy.partition == NO_INBOX else WAITING for copy in copies)
        return Outcome(said.key, Claim(said.digest, at.offset, append_ms, at.topic, ordinals, states), None, [])

    def apply(self, outcome: Outcome) -> None:
        """The hop accepted it."""
        self.claims[outcome.key] = outcome.claim
        for key, place, state in outcome.moves:
            self.claims[key].states[place] = state

    def _status(self, said: Said, append_ms: int) -> tuple[Step, Move]:
        fields = said.fields
        document = fields["document"]
        recipient = self._recount.known(fields["recipient"])
        if recipient is None or recipient.code != fields["recipient"]:
            raise Rejected("status.not_a_recipient", fields["recipient"][:40])
        key = claim_key(said.thread, document["sender"], document["id"])
        claim = self._claim(key)
        if claim is None:
            if fields["document_append_ms"] < append_ms - EXPIRES_MS:
                raise Rejected("document.expired", document["id"][:64])
            raise Rejected("document.unknown", f"{document['sender'][:40]}/{document['id'][:64]}")
        ordinal = self._recount.ordinal(recipient.code)
        if ordinal not in claim.recipients:
            raise Rejected("status.not_a_recipient", fields["recipient"][:40])
        place = claim.recipients.index(ordinal)
        state = after(claim.states[place], fields["code"])
        self._recount.copy_to(fields["recipient"] if fields["code"] == TAKE_BACK_ASKED else document["sender"])
        return Step(state != claim.states[place], state), Move(key, place, state)

    def _requests(self, at: Coordinates, said: Said, copies: Sequence[Delivered]) -> list[Move]:
        """The requests that a recall, update or replacement opens."""
        thread, sender = said.fields["thread"], said.fields["sender"]
        owner, slash, first = thread.partition("/")
        if not slash or not first:
            raise Rejected("thread.malformed", thread[:80])
        if owner != sender:
            raise Rejected("thread.not_the_senders", f"{thread[:80]} is not {sender[:40]}'s")
        key = claim_key(thread, owner, first)
        claim = self._claim(key)
        if claim is None:
            raise Rejected("thread.unknown", thread[:120])
        if claim.topic != at.topic:
            raise Rejected("document.lane", f"its thread travels in {claim.topic}")
        is_recall = said.fields["business"] == "recall"
        moves, refused = list[Move](), list[Rejected]()
        for copy in copies:
            ordinal = self._recount.ordinal(copy.recipient)
            if ordinal not in claim.recipients:
                if is_recall:
                    raise Rejected("recall.not_a_recipient", f"{copy.recipient} never got the document")
                continue
            place = claim.recipients.index(ordinal)
            try:
                moves.append(Move(key, place, asked(claim.states[place], TAKE_BACK if is_recall else CHANGE)))
            except Rejected as exc:
                refused.append(exc)
        if refused and not moves:
            raise refused[-1]
        return moves

    def _claim(self, key: bytes) -> Claim | None:
        if key in self._forgotten and self.stated in _GONE:
            return None
        claim = self.claims.get(key)
        if claim is None and not self.is_complete:
            raise Unknown
        return claim


def moved(packed: bytes, place: int, state: int) -> bytes:
    """A claim's value with another state of one copy; as it is, if it has no such copy."""
    count = _HEAD.unpack_from(packed)[-1] if len(packed) >= _HEAD.size else 0
    at = _HEAD.size + 4 * count + place
    if not 0 <= place < count or at >= len(packed) or not 0 <= state <= 0xFF:
        return packed
    return packed[:at] + bytes((state,)) + packed[at + 1 :]
