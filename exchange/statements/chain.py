"""The chain of one recipient's copy: which status may follow which (QCVN 102; reading of the samples).

A copy's state is one byte: the low nibble is the main track, two bits are the side track.

| main | meaning | side bit | meaning |
|---|---|---|---|
| 0 | waiting: delivered, no receipt yet | 0x10 | a take-back or recall is open |
| 1–6 | the status of that code | 0x20 | an update or replacement is open |
| 7 | withdrawn: the take-back was agreed | | |
| 8 | undeliverable: never reached an inbox | | |
"""

from __future__ import annotations

from exchange.errors import Rejected
from exchange.statements.status import (
    ACCEPTED,
    AGREED,
    ARRIVED,
    ASSIGNING,
    DECLINED,
    REFUSED,
    TAKE_BACK_ASKED,
)

WAITING = 0
WITHDRAWN = 7
UNDELIVERABLE = 8
MAIN = 0x0F
TAKE_BACK_OPEN = 0x10
CHANGE_OPEN = 0x20
_OPEN = TAKE_BACK_OPEN | CHANGE_OPEN


def advance(state: int, code: int) -> int:
    """The state after `code` was said by the side that may say it; equal to `state` if it moves nothing.

    Raises: Rejected ``status.illegal_transition``, ``status.no_request``, ``status.request_open``.
    """
    if code == TAKE_BACK_ASKED:
        return ask(state, TAKE_BACK_OPEN)
    if code in {AGREED, DECLINED}:
        return _answer(state, code)
    main = state & MAIN
    if main in {WITHDRAWN, UNDELIVERABLE}:
        raise Rejected("status.illegal_transition", f"{code:02d} on a copy that is no longer there")
    if code == main or (code == ARRIVED and main > ARRIVED):
        return state
    if main == REFUSED or (code == REFUSED and main >= ACCEPTED) or (code >= ASSIGNING and main < ACCEPTED):
        raise Rejected("status.illegal_transition", f"{code:02d} after {main:02d}")
    return state if code < main else (state & ~MAIN) | code


def ask(state: int, request: int) -> int:
    """Open a request (`TAKE_BACK_OPEN` or `CHANGE_OPEN`) on a copy.

    Raises: Rejected ``status.request_open`` (one is open), ``status.illegal_transition``.
    """
    if state & _OPEN:
        raise Rejected("status.request_open", "the copy already has an unanswered request")
    if state & MAIN in {REFUSED, WITHDRAWN, UNDELIVERABLE}:
        raise Rejected("status.illegal_transition", f"a request after {state & MAIN:02d}")
    return state | request


def _answer(state: int, code: int) -> int:
    if not state & _OPEN:
        raise Rejected("status.no_request", f"{code:02d} without a request")
    if code == AGREED and state & TAKE_BACK_OPEN:
        return WITHDRAWN
    return state & ~_OPEN
