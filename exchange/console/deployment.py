"""Where a console stands: what it reads from, each asked anew whenever it is needed, so that what was away comes back.

Guarantees: nothing here is resolved when the console starts; it serves without Kafka and PostgreSQL, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from exchange.agencies import DirectoryView
from exchange.backbone.clients import Config
from exchange.console.entrance import Entrance
from exchange.errors import Unavailable
from exchange.ledger.attesting import Ages
from exchange.operating.foreseeing import Present
from exchange.signatures import Trust
from exchange.views.throughput import ThroughputStore
from exchange.views.trace_path import Path
from exchange.views.trace_store import TraceStore

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Health:
    """One process. `state`: ``running``, ``stopped`` or ``crashed`` (it ended without being told to)."""

    name: str
    state: str
    resident_bytes: int
    is_disk_full: bool


@dataclass(frozen=True, slots=True)
class Deployment:
    """Each function may raise Unavailable; `directory` and `trust` are for `ask` only.

    `keyed`: partitions of the keyed topics; `group`: the hop's; `ages`: how long the ledger has gone unseen, None while
    there is none; `evidence`: the file that proves an accepted document's way (docs/evidence-format.md), once the
    ledger has taken it in; `present`: what a forecast is made of.
    """

    base: Callable[[], Config]
    database_url: Callable[[], str]
    directory: Callable[[], DirectoryView]
    trust: Callable[[], Trust]
    keyed: int
    group: str
    processes: Callable[[], list[Health]]
    ages: Callable[[], Ages | None]
    evidence: Callable[[Path], bytes]
    present: Callable[[DirectoryView], Present]
    entrance: Entrance
    lock: Lock = field(default_factory=Lock)

    def ask(self, question: Callable[[DirectoryView], Value]) -> Value:
        """Ask the directory as it is now, one question at a time: it is for one thread. Raises: Unavailable."""
        with self.lock:
            return question(self.directory())

    def traces(self) -> TraceStore:
        """The trace store."""
        return TraceStore(self.database_url())

    def throughput(self) -> ThroughputStore:
        """The throughput's rows."""
        return ThroughputStore(self.database_url())


@dataclass(frozen=True, slots=True)
class Away:
    """What couldn't be read, and why. `code`: of the error."""

    code: str
    detail: str

    @classmethod
    def of(cls, exc: Unavailable) -> Away:
        """The error as a value."""
        return cls(exc.code, exc.detail)
