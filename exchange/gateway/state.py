"""What one gateway process holds, and the life of it: started in order, stopped in reverse.

Guarantees: it serves only once the directory, the producer and the tail of the inboxes stand; a task that ends by a
bug of ours ends the process. Keeps nothing that another process would miss: tokens open in every gateway that has
the same key.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from exchange import metrics
from exchange.backbone.attachments import Attachments
from exchange.backbone.clients import Config
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.lag import hop_lag
from exchange.errors import Unavailable
from exchange.gateway import tokens
from exchange.gateway.assertions import Used
from exchange.gateway.directory import LiveDirectory
from exchange.gateway.files import Files
from exchange.gateway.inboxes import Inboxes
from exchange.gateway.ledger import LedgerPlace, LiveLedger
from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused
from exchange.gateway.producing import Producing
from exchange.gateway.quotas import Buckets, Slots
from exchange.gateway.recent import Recent
from exchange.gateway.tail import Tail
from exchange.gateway.uploads import Uploads
from exchange.signatures import PublicKey
from exchange.views.trace_store import TraceStore

LAG_RETRY_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a gateway stands. `keyed`, `inbox`: partition counts; `group`: the hop's; `public_url`: what agencies
    call it, the audience of their assertions; `ledger`: if it shows one; `roots`, `backbone`: certificates (DER);
    `token_key`: 32 bytes, the same for all gateways of one address, by default of this process alone."""

    base: Config
    keyed: int
    inbox: int
    group: str
    registrar: PublicKey
    roots: Sequence[bytes]
    backbone: bytes
    attachments: Attachments
    database_url: str
    public_url: str
    ledger: LedgerPlace | None = None
    token_key: bytes = field(default_factory=lambda: secrets.token_bytes(tokens.KEY_BYTES), repr=False)


def now_ms() -> int:
    """This machine's clock."""
    return int(time.time() * 1000)


class Gateway:
    """The parts of a gateway. `clock`: ms since 1970 UTC. Made by `running`, which also ends it."""

    def __init__(
        self, deployment: Deployment, limits: Limits, directory: LiveDirectory, clock: Callable[[], int]
    ) -> None:
        self.deployment = deployment
        self.limits = limits
        self.directory = directory
        self.clock = clock
        self.recent = Recent(limits.recent_bytes)
        self.tail = Tail(deployment.base, deployment.inbox, self.recent)
        self.inboxes = Inboxes(deployment.base, deployment.inbox, self.recent, limits)
        self.producing = Producing(deployment.base, deployment.keyed, limits.produce_s)
        self.files = Files(deployment.attachments)
        self.uploading = Uploads(self.files, limits)
        self.traces = TraceStore(deployment.database_url)
        place = deployment.ledger
        self.ledger = None if place is None else LiveLedger(deployment.base, place, self.traces)
        self.lookups = asyncio.Semaphore(limits.lookups)
        self.used = Used(limits.remembered)
        self.statements = Buckets(limits.statements_per_s, limits.statements_burst)
        self.requests = Buckets(limits.requests_per_s, limits.requests_burst)
        self.token_requests = Buckets(limits.tokens_per_s, limits.tokens_burst)
        self.polls = Slots(limits.polls)
        self.uploads = Slots(limits.uploads)
        self.submissions = Slots(limits.submissions)
        self.lag = 0

    @property
    def audiences(self) -> list[str]:
        """What an assertion may be for: the gateway, or its token address (RFC 7523 §3 (3))."""
        url = self.deployment.public_url.rstrip("/")
        return [url, f"{url}/v1/token"]

    def require_room(self) -> None:
        """Refuse new submissions while the hop is far behind; Refused ``hop.behind``."""
        if self.lag > self.limits.lag_records:
            raise Refused("hop.behind", f"{self.lag} records", LAG_RETRY_S)

    async def watch_lag(self) -> None:
        """Look at the hop's lag until cancelled; while it can't be seen, the last one stands."""
        place = self.deployment
        while True:
            try:
                lag = await asyncio.to_thread(hop_lag, place.base, place.group, place.keyed)
                self.lag = sum(lag.values())
                metrics.GATEWAY_LAG.set(self.lag)
            except Unavailable as exc:
                log.warning("gateway.lag_unknown", detail=exc.detail[:200])
            await asyncio.sleep(self.limits.lag_every_s)


@asynccontextmanager
async def running(deployment: Deployment, limits: Limits, clock: Callable[[], int] = now_ms) -> AsyncIterator[Gateway]:
    """Start a gateway's parts; stop them when the block ends.

    Raises: Unavailable, Misconfigured before it serves; an ExceptionGroup with what a task of its own died of.
    """
    directory_log = await asyncio.to_thread(DirectoryLog, deployment.base, deployment.registrar)
    gateway = Gateway(deployment, limits, LiveDirectory(directory_log, list(deployment.roots)), clock)
    try:
        await gateway.producing.start()
        try:
            await gateway.tail.start()
            async with asyncio.TaskGroup() as tasks:
                running_: list[asyncio.Task[Any]] = [
                    tasks.create_task(gateway.tail.run(), name="tail"),
                    tasks.create_task(gateway.directory.run(limits.directory_every_s), name="directory"),
                    tasks.create_task(gateway.watch_lag(), name="lag"),
                    tasks.create_task(gateway.uploading.run(), name="uploads"),
                ]
                if gateway.ledger is not None:
                    running_.append(tasks.create_task(gateway.ledger.run(), name="ledger"))
                yield gateway
                gateway.recent.close()
                for task in running_:
                    task.cancel()
        finally:
            await gateway.producing.stop()
    finally:
        directory_log.close()
