"""A document exchange backbone: signed statements on Kafka, delivered once, traced and audited.

`Agency` is the client for participant systems, `AsyncAgency` the same for an event loop. Each is loaded when it is
asked for, and needs the extra ``sdk`` or ``sdk-async``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exchange.sdk import Agency
    from exchange.sdk.asynchronous import AsyncAgency

__all__ = ["Agency", "AsyncAgency"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  as PEP 562 has it
    if name == "Agency":
        from exchange.sdk import Agency

        return Agency
    if name == "AsyncAgency":
        from exchange.sdk.asynchronous import AsyncAgency

        return AsyncAgency
    raise AttributeError(name)
