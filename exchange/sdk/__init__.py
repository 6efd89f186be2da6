"""The client for participant systems: `Agency` signs, sends, receives and verifies through a gateway.

It needs neither Kafka nor a database, only the extra ``sdk``.
"""

from exchange.agencies import parse_code
from exchange.sdk.agency import Agency
from exchange.sdk.entries import Decided, Published, Receipt, Received, Told
from exchange.sdk.keys import load as load_key
from exchange.sdk.place import Gap
from exchange.sdk.session import GatewayRefused
from exchange.sdk.watching import LedgerBroken
from exchange.signatures import SigningKey
from exchange.statements import Fields, compose
from exchange.statements.document import TYPES

__all__ = [
    "TYPES",
    "Agency",
    "Decided",
    "Fields",
    "Gap",
    "GatewayRefused",
    "LedgerBroken",
    "Published",
    "Receipt",
    "Received",
    "SigningKey",
    "Told",
    "compose",
    "load_key",
    "parse_code",
]
