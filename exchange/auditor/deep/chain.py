"""How a recipient's copy moves: the auditor's own reading of the chain of statuses (QCVN 102).

A state is a byte: in its low nibble 0 (no receipt yet), the last status 1–6, 7 (taken back) or 8 (undeliverable); 0x10
if a take-back is asked for and not answered, 0x20 if a change is. Shares no code with the hop's.
"""

from __future__ import annotations

from exchange.errors import Rejected

WAITING, TAKEN_BACK, UNDELIVERABLE = 0, 7, 8
TAKE_BACK, CHANGE = 0x10, 0x20

_ARRIVED, _REFUSED, _ACCEPTED, _ASSIGNING = 1, 2, 3, 4
_ASKS, _DECLINES, _AGREES = 13, 16, 15
_OVER = {_REFUSED, TAKEN_BACK, UNDELIVERABLE}


def asked(state: int, request: int) -> int:
    """The state once a request is open on it; Rejected ``status.request_open``, ``status.illegal_transition``."""
    if state & (TAKE_BACK | CHANGE):
        raise Rejected("status.request_open", "the copy already has an unanswered request")
    track = state & 0x0F
    if track in _OVER:
        raise Rejected("status.illegal_transition", f"a request after {track:02d}")
    return state | request


def after(state: int, code: int) -> int:
    """The state once a status was said; Rejected ``status.*``."""
    if code == _ASKS:
        return asked(state, TAKE_BACK)
    request, track = state & (TAKE_BACK | CHANGE), state & 0x0F
    if code in {_AGREES, _DECLINES}:
        if not request:
            raise Rejected("status.no_request", f"{code:02d} without a request")
        return TAKEN_BACK if code == _AGREES and request & TAKE_BACK else track
    if track in {TAKEN_BACK, UNDELIVERABLE}:
        raise Rejected("status.illegal_transition", f"{code:02d} on a copy that is no longer there")
    if track == code or (code == _ARRIVED and track > _ARRIVED):
        return state
    illegal = track == _REFUSED or (code == _REFUSED and track >= _ACCEPTED) or (code > _ACCEPTED > track)
    if illegal:
        raise Rejected("status.illegal_transition", f"{code:02d} after {track:02d}")
    return max(track, code) | request
