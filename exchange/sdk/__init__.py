"""The client for participant systems: `Agency` signs, sends, receives and verifies through a gateway.

It needs neither Kafka nor a database, only the extra ``sdk``.
"""

from exchange.sdk.agency import Agency
from exchange.sdk.entries import Decided, Published, Receipt, Received
from exchange.sdk.session import GatewayRefused
from exchange.sdk.watching import LedgerBroken

__all__ = ["Agency", "Decided", "GatewayRefused", "LedgerBroken", "Published", "Receipt", "Received"]
