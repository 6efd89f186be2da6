"""The client for participant systems: `Agency` signs, sends, receives and verifies through a gateway.

It needs neither Kafka nor a database, only the extra ``sdk``.
"""

from exchange.sdk.agency import Agency
from exchange.sdk.entries import Published, Receipt, Received
from exchange.sdk.session import GatewayRefused

__all__ = ["Agency", "GatewayRefused", "Published", "Receipt", "Received"]
