"""The load: the nation sends as fast as it can, its recipients sign receipts, and what must become of each is counted.

Guarantees: `expected` is exact, whatever happens to the broker meanwhile: a producer keeps its records and their order
over an outage, and says when it could not; then sending ends with `Unavailable`, and nothing is exact any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Event

import structlog

from exchange.backbone.clients import Config
from exchange.backbone.inbox import Opener
from exchange.backbone.submitting import Submitting
from exchange.errors import Unavailable
from exchange.local.simulation.nation import Nation
from exchange.local.simulation.recipients import Recipients

BAD_SHARE, AGAIN_SHARE = 0.04, 0.02
PORTION = 250
PORTIONS_A_ROUND = 4
"""Portions after which the recipients look into their inboxes."""
LAG_MAX = 4_000
"""More than this must not wait for the hop: the end has to be reachable."""
_PAUSE_S = 0.05

log = structlog.get_logger(__name__)


class Load:
    """Who sends. `expected`: outcomes by ``accepted``, ``duplicate`` or error code; `sent`, `receipts`: how many."""

    def __init__(self, base: Config, nation: Nation, opener: Opener) -> None:
        self._base = base
        self._nation = nation
        self._recipients = Recipients(base, nation.cast, opener)
        self.expected: Counter[str] = Counter()
        self.sent = 0
        self.receipts = 0

    def send(self, over: Event, lag: Callable[[], int]) -> None:
        """Send until `over` is set; `lag`: how much waits for the hop. Raises: Unavailable."""
        portions = 0
        while not over.is_set():
            if lag() > LAG_MAX:
                over.wait(_PAUSE_S)
                continue
            sent = self._nation.send(PORTION, None, BAD_SHARE, AGAIN_SHARE)
            self.expected += sent.expected
            self.sent += sent.records
            portions += 1
            if portions % PORTIONS_A_ROUND == 0:
                self.sign()

    def sign(self) -> bool:
        """Let the recipients sign for what came since last time; tells whether they could read all of it.

        Raises: Unavailable if the broker didn't take what they signed.
        """
        out, signed, has_read_all = Submitting(self._base), 0, True
        try:
            for receipt in self._recipients.receipts():
                out.send(receipt)
                signed += 1
        except Unavailable as exc:  # they look again later; what they signed until then is sent
            has_read_all = False
            log.info("torture.recipients_wait", code=exc.code, detail=exc.detail)
        out.flush()
        self.expected["accepted"] += signed
        self.sent += signed
        self.receipts += signed
        return has_read_all
