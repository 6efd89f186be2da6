"""A document exchange backbone: signed statements on Kafka, delivered once, traced and audited.

`Agency` is the client for participant systems; it is loaded when it is asked for, with the extra ``sdk``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exchange.sdk import Agency

__all__ = ["Agency"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  as PEP 562 has it
    if name != "Agency":
        raise AttributeError(name)
    from exchange.sdk import Agency

    return Agency
