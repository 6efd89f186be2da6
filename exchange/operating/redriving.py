"""Sending dead letters again: their very bytes, by their own key, in their own lane.

Guarantees: only what was foreseen to be accepted is sent; who, why and which is recorded before; more than `ALONE_MAX`
need two people. Nothing is delivered twice: the hop recognises the bytes of what it accepted, however often they are
sent, for as long as the gate lets them in. So whoever was killed in the middle does it all again. A letter that is
refused again is a dead letter again.

Doesn't wait for the hop, and doesn't promise that a document goes before what is said about it: a status that comes too
early is refused again, and may be sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from exchange.backbone.actions import Action, Actions
from exchange.backbone.clients import Config
from exchange.backbone.submitting import Outgoing, Submitting
from exchange.errors import InvariantBroken, Rejected
from exchange.operating.dead_letters import Letter
from exchange.operating.deciding import checked_name, checked_reason, checked_two
from exchange.operating.foreseeing import Foreseen, sendable
from exchange.statements import SUBMISSION_TOPICS

ALONE_MAX = 100
"""Letters that one person may send again alone."""

RATE_PER_S = 50.0
"""So many a second, unless somebody says otherwise: what is sent again shares the hop with what is new."""
RATE_PER_S_MAX = 1_000.0

PORTIONS_PER_S = 5
"""How often the sender waits for the broker."""

WHAT = "dead_letters.redrive"


class Order(NamedTuple):
    """Who wants it, and why. `seconded_by`: needed for more than `ALONE_MAX`."""

    reason: str
    by: str
    seconded_by: str | None = None
    rate_per_s: float = RATE_PER_S


def redrive(
    base: Config,
    actions: Actions,
    foreseen: Sequence[Foreseen],
    order: Order,
    told: Callable[[int], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Action:
    """Send again those letters that would be accepted, and return what was recorded.

    `told`: how many the broker has, now and then.

    Raises: Rejected ``decision.*``, ``dead_letters.none``, ``dead_letters.two_needed``, ``dead_letters.rate``;
        Unavailable: some may have been sent: do it again.
    """
    letters = sendable(foreseen)
    action = _checked(letters, order)
    outgoing = [_outgoing(letter) for letter in letters]
    outgoing.sort(key=lambda one: SUBMISSION_TOPICS.index(one[0]))  # stable: otherwise as they arrived
    actions.record(action)
    submitting = Submitting(base, linger_ms=0)
    portion = max(1, int(order.rate_per_s / PORTIONS_PER_S))
    began, sent = time.monotonic(), 0
    for start in range(0, len(outgoing), portion):
        pause(max(began + start / order.rate_per_s - time.monotonic(), 0.0))
        part = outgoing[start : start + portion]
        submitting.submit(one for _, one in part)
        sent += len(part)
        told(sent)
    return action


def _checked(letters: Sequence[Letter], order: Order) -> Action:
    reason = checked_reason(order.reason)
    if not letters:
        raise Rejected("dead_letters.none", "none of them would be accepted now")
    if order.seconded_by is None:
        by, seconded_by = checked_name(order.by), None
        if len(letters) > ALONE_MAX:
            raise Rejected("dead_letters.two_needed", f"{len(letters):,} letters are more than {ALONE_MAX}")
    else:
        by, seconded_by = checked_two(order.by, order.seconded_by)
    if not 0 < order.rate_per_s <= RATE_PER_S_MAX:
        raise Rejected("dead_letters.rate", f"{order.rate_per_s} a second; up to {RATE_PER_S_MAX:.0f}")
    about = {"letters": len(letters), "rate_per_s": order.rate_per_s}
    return Action(WHAT, by, reason, seconded_by, about, [letter.source for letter in letters])


def _outgoing(letter: Letter) -> tuple[str, Outgoing]:
    said = letter.said
    if said is None:
        raise InvariantBroken(f"{letter.source} was foreseen, and says nothing")
    return said.topic, Outgoing(said.kind, said.fields, letter.value)
