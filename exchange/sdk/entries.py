"""What the client hands out: what was published, the broker's receipt, what was received.

Times are milliseconds since 1970 UTC by the broker's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from exchange.signatures import SigningKey
from exchange.statements import Fields

Told = Callable[[str, int, int], None]
"""Progress: the step, how far it is and how far it goes (bytes of a file, or records)."""


def silent(_step: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """Another agency's leave to sign for it. `key`: of a certificate of the role ``delegate`` that names us."""

    agency: str
    key: SigningKey


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker's receipt: where the submission lies, and since when."""

    id: str
    topic: str
    partition: int
    offset: int
    append_ms: int


@dataclass(frozen=True, slots=True)
class Published:
    """A signed statement that is on its way. `receipt`: None while it still waits in the outbox."""

    id: str
    kind: str
    fields: Fields = field(repr=False)
    receipt: Receipt | None

    @property
    def is_sent(self) -> bool:
        """Whether the exchange has it durably. Whether it accepts it, the inbox tells."""
        return self.receipt is not None


@dataclass(frozen=True, slots=True)
class Decided:
    """What the backbone signed about a submission of ours. `outcome`: ``accepted``, ``rejected``, ``duplicate`` or
    ``set_aside``; `code`: why not; `included_ms`: by then the ledger holds it, so it promised; `record`: the promise.

    `ledger_size`: leaves of the checkpoint under which it was proved; 0 while that isn't asked for.
    """

    outcome: str
    code: str
    included_ms: int
    record: bytes = field(repr=False)
    ledger_size: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """One delivery, verified. `kind`: ``document``, ``status``, ``report``, or ``notice`` (the backbone's own word).

    `topic`, `partition`, `offset`, `append_ms`: of the submission; `inbox_ms`: when it became part of the inbox;
    `raw`: the statement's bytes as signed; `cursor`: where the inbox goes on after it.
    """

    kind: str
    fields: Fields
    thread: str
    raw: bytes = field(repr=False)
    topic: str
    partition: int
    offset: int
    append_ms: int
    inbox_ms: int
    cursor: str
