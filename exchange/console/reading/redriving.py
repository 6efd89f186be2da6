"""An operator's acts on dead letters: foreseeing what becomes of them now, and sending them again.

Guarantees: those of `exchange.operating.redriving`: nothing is sent that wasn't foreseen to be accepted, who and why is
recorded before, more than `ALONE_MAX` need two people (a page picks no more than that), nothing is delivered twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.backbone.actions import Actions
from exchange.console.deployment import Deployment
from exchange.console.reading.dead_letters import Letter
from exchange.console.session import Session
from exchange.errors import Rejected
from exchange.operating.dead_letters import Selection, picked, read_letters
from exchange.operating.deciding import checked_reason
from exchange.operating.foreseeing import Foreseen, foresee, sendable
from exchange.operating.redriving import ALONE_MAX, Order, redrive


class Operator:
    """Whoever acts, and why. Its methods wait for the services: call them in a thread."""

    def __init__(self, deployment: Deployment, session: Session, reason: str) -> None:
        """Raises: Rejected ``decision.*``."""
        self._deployment = deployment
        self._session = session
        self._reason = checked_reason(reason)

    def foresee(self, letters: Sequence[Letter]) -> list[Foreseen]:
        """What would become of these now. Raises: Rejected ``dead_letters.none``, ``dead_letters.two_needed``."""
        if not letters:
            raise Rejected("dead_letters.none")
        if len(letters) > ALONE_MAX:
            raise Rejected("dead_letters.two_needed", f"{len(letters)} > {ALONE_MAX}")
        places = frozenset((one.topic, one.partition, one.offset) for one in letters)
        partitions = sorted({one.partition for one in letters})
        found = picked(read_letters(self._deployment.base(), partitions, Selection(places)))
        return self._deployment.ask(lambda view: foresee(self._deployment.present(view), found))

    def send_again(self, foreseen: Sequence[Foreseen]) -> int:
        """Send those that would be accepted; how many. Raises: Rejected ``dead_letters.none``; Unavailable: again."""
        base = self._deployment.base()
        redrive(base, Actions(base), foreseen, Order(self._reason, self._session.who))
        return len(sendable(foreseen))
