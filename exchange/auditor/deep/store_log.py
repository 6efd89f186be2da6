"""The duplicate store's log (topic ``store``), read along with what accepted statements must have put and moved there.

Guarantees: each put and move is matched once, in order; what is missing is named with its submission, what is surplus
with its record of the log. What a sweep carries on must be as the log left it, and what the log forgets must be over.
Which ids that are over it lets go of, and when, is the hop's own business and isn't derived.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.cut import Cut
from exchange.auditor.deep.copies import REMEMBER_MS, Copies, Outcome, moved
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import STORE
from exchange.backbone.reading import Read
from exchange.statements import SUBMISSION_TOPICS, Fields

AHEAD_MAX = 1_000
"""How far ahead a put or move is looked for."""

_OFFSET_AT, _TOPIC_AT = 32, 48
"""Where a claim has its submission's offset and topic."""


class _Logged(NamedTuple):
    """A put (`place` -1: `content` is the value) or a move, and the offset of the record that holds it."""

    key: bytes
    place: int
    content: bytes
    offset: int


class StoreLog:
    """The log of one partition number. `log`: its decoded records with where they lie.

    `is_complete`: no submission is gone by retention, or erased; else what moved older copies can't be matched.
    """

    def __init__(
        self, log: Iterable[tuple[Read, Fields]], number: int, cut: Cut, findings: Findings, *, is_complete: bool
    ) -> None:
        self._is_complete = is_complete
        self._number = number
        self._cut = cut
        self._findings = findings
        self._log = iter(log)
        self._puts: deque[_Logged] = deque()
        self._moves: deque[_Logged] = deque()
        self._forgets: list[tuple[bytes, int]] = []
        self._held: dict[bytes, bytes] = {}
        """The claims as the log itself leaves them: what a sweep carries on must be that."""

    def accepted(self, at: Coordinates, statement_id: str, outcome: Outcome) -> None:
        """An accepted statement puts its claim and moves copies."""
        self._expect(self._puts, (outcome.key, -1, outcome.claim.packed()), at, statement_id)
        for key, place, state in outcome.moves if self._is_complete else ():
            self._expect(self._moves, (key, place, bytes((state,))), at, statement_id)

    def finish(self, copies: Copies, newest_ms: int) -> None:
        """Name what is left over, and what was forgotten too early."""
        while self._pull():
            pass
        for logged in (*self._puts, *self._moves):
            self._surplus(logged)
        for key, offset in self._forgets:
            claim = copies.claims.get(key)
            if claim is not None and (not claim.is_final or claim.append_ms >= newest_ms - REMEMBER_MS):
                at = Coordinates(claim.topic, self._number, claim.offset)
                self._findings.add("audit.early_forget", at, f"by {STORE}/{self._number}@{offset}")

    def _expect(
        self, waiting: deque[_Logged], wanted: tuple[bytes, int, bytes], at: Coordinates, statement_id: str
    ) -> None:
        while not waiting and self._pull():
            pass
        if waiting and waiting[0][:3] == wanted:
            waiting.popleft()
            return
        while len(waiting) < AHEAD_MAX and self._pull():
            pass
        for index, logged in enumerate(islice(waiting, AHEAD_MAX)):
            if logged[:3] == wanted:
                for _ in range(index):
                    self._surplus(waiting.popleft())
                waiting.popleft()
                return
        if waiting and waiting[0][:2] == wanted[:2]:
            logged = waiting.popleft()
            code = "audit.altered_put" if logged.place < 0 else "audit.surplus_move"
            self._findings.add(code, at, f"{STORE}/{self._number}@{logged.offset} holds {logged.content.hex()[:80]}",
                               statement_id)  # fmt: skip
            if logged.place < 0:
                return
        code = "audit.missing_claim" if wanted[1] < 0 else "audit.missing_move"
        self._findings.add(code, at, f"the log of {STORE}/{self._number} lacks it", statement_id)

    def _surplus(self, logged: _Logged) -> None:
        code = "audit.surplus_claim" if logged.place < 0 else "audit.surplus_move"
        at = Coordinates(STORE, self._number, logged.offset)
        self._findings.add(code, at, f"of the id that it calls {logged.key.hex()}")

    def _pull(self) -> bool:
        """Take in the next record up to the cut; tells whether there was one."""
        found = next(self._log, None)
        if found is None or any(
            cover["next_offset"] > self._cut.next_offsets.get((cover["topic"], self._number), 0)
            for cover in found[1]["covers"]
        ):
            self._log = iter(())
            return False
        read, fields = found
        self._replay(read, fields)
        self._puts.extend(
            _Logged(put["key"], -1, put["value"], read.offset) for put in fields["puts"] if self._is_kept(put["value"])
        )
        if self._is_complete:
            self._moves.extend(
                _Logged(move["key"], move["index"], bytes((move["state"] & 0xFF,)), read.offset)
                for move in fields["moves"]
            )
        self._forgets.extend((key, read.offset) for key in fields["forgets"])
        return True

    def _replay(self, read: Read, fields: Fields) -> None:
        """Go on with the claims by one record, and see that what it carries on is what was there."""
        held, at = self._held, Coordinates(STORE, self._number, read.offset)
        for carried in fields.get("carried", ()):
            if held.get(carried["key"]) != carried["value"]:
                sentence = f"it carries on what the id that it calls {carried['key'].hex()} never held"
                self._findings.add("audit.altered_put", at, sentence)
        for put in fields["puts"]:
            held[put["key"]] = put["value"]
        for move in fields["moves"]:
            value = held.get(move["key"])
            if value is not None:
                held[move["key"]] = moved(value, move["index"], move["state"])
        for key in fields["forgets"]:
            held.pop(key, None)
        if fields.get("claims", len(held)) != len(held):
            self._findings.add("audit.altered_put", at, f"it says that {fields['claims']} are left, not {len(held)}")

    def _is_kept(self, claim: bytes) -> bool:
        """Whether the submission that a put is about is still there."""
        if self._is_complete or len(claim) <= _TOPIC_AT or claim[_TOPIC_AT] >= len(SUBMISSION_TOPICS):
            return True
        offset = int.from_bytes(claim[_OFFSET_AT : _OFFSET_AT + 8], "little")
        return self._cut.covers(SUBMISSION_TOPICS[claim[_TOPIC_AT]], self._number, offset)


def forgotten(log: Iterator[Fields]) -> set[bytes]:
    """Every key that a log forgets."""
    return {key for record in log for key in record["forgets"]}
