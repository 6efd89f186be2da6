"""The ledger as the gateway shows it: the newest checkpoint with every answer, promises, and proofs.

Guarantees: a checkpoint is shown only if the ledger's own key has signed it; of promises and proofs an agency gets
those about submissions in its own name.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from exchange.backbone.clients import Config
from exchange.backbone.objects import Objects
from exchange.errors import ExchangeError
from exchange.gateway.problems import Refused
from exchange.ledger.checkpoint import open_checkpoint
from exchange.ledger.notes import VerifierKey
from exchange.ledger.promises import Found, PromiseFinder
from exchange.ledger.proving import Inclusion, consistency, inclusion
from exchange.ledger.store import CHECKPOINT
from exchange.views.trace_path import Entry
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import submission_at

HEADER = "exchange-checkpoint"
"""Of every answer: the newest checkpoint (C2SP tlog-checkpoint), base64."""

LOOK_EVERY_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """Where a deployment's ledger lies (opened anew for each thread), and by which key its checkpoints verify."""

    open: Callable[[], Objects]
    key: VerifierKey


class LiveLedger:
    """The ledger beside a gateway. `header`: the newest checkpoint as answers carry it; empty before the first."""

    def __init__(self, base: Config, place: LedgerPlace, traces: TraceStore) -> None:
        self.key = place.key
        self.header = b""
        self._base = base
        self._place = place
        self._traces = traces

    async def run(self) -> None:
        """Look for new checkpoints until cancelled; one that isn't the ledger's is told of, and not shown."""
        while True:
            try:
                self.header = await asyncio.to_thread(self._look)
            except ExchangeError as exc:
                log.warning("gateway.checkpoint", code=exc.code, detail=exc.detail[:200])
            await asyncio.sleep(LOOK_EVERY_S)

    def promise(self, caller: str, topic: str, partition: int, offset: int) -> Found:
        """What was promised about a submission of the caller's. Blocks.

        Raises: Refused ``promise.not_given``, also for a submission of somebody else; Unavailable.
        """
        entry, _ = self._own(caller, topic, partition, offset)
        finder = PromiseFinder(self._base)
        try:
            found = finder.promise(entry.partition, entry.trace_offset, entry.trace_index)
        finally:
            finder.close()
        if found is None:
            raise Refused("promise.not_given", f"{topic}/{partition}/{offset}")
        return found

    def lapses(self, caller: str, topic: str, partition: int, offset: int) -> list[Found]:
        """Whose copies of a document of the caller's lapsed. Blocks. Raises: as `promise`."""
        _, due = self._own(caller, topic, partition, offset)
        if due is None:
            return []
        finder = PromiseFinder(self._base)
        try:
            return finder.lapses(partition, due, topic, offset)
        finally:
            finder.close()

    def inclusion(self, caller: str, topic: str, partition: int, offset: int) -> Inclusion:
        """The proof that the ledger holds what was decided. Blocks.

        Raises: Refused ``promise.not_given``, ``ledger.behind``; Rejected ``evidence.*``; Unavailable.
        """
        entry, _ = self._own(caller, topic, partition, offset)
        found = inclusion(
            self._base, self._files(), self.key, entry.partition, entry.trace_offset, entry.trace_index
        )  # fmt: skip
        if found is None:
            raise Refused("ledger.behind", f"{topic}/{partition}/{offset}")
        return found

    def consistency(self, before: int, after: int) -> list[bytes]:
        """The proof between two sizes. Blocks. Raises: Rejected ``ledger.size``; Unavailable."""
        return consistency(self._files(), self.key, before, after)

    def _own(self, caller: str, topic: str, partition: int, offset: int) -> tuple[Entry, int | None]:
        found = submission_at(self._traces, topic, partition, offset)
        if found is None or found[0].sender != caller:
            raise Refused("promise.not_given", f"{topic}/{partition}/{offset}"[:120])
        return found

    def _look(self) -> bytes:
        data = self._files().read(CHECKPOINT)
        if data is None:
            return b""
        open_checkpoint(data, self.key)
        return base64.b64encode(data)

    def _files(self) -> Objects:
        return self._place.open()


def ledger_of(ledger: LiveLedger | None) -> LiveLedger:
    """The ledger, where there is one; else Refused."""
    if ledger is None:
        raise Refused("ledger.absent")
    return ledger
