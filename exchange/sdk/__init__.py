"""The client for participant systems: `Agency` signs, sends, receives and verifies through a gateway.

It needs neither Kafka nor a database, only the extra ``sdk``.
"""

from exchange.agencies import parse_code
from exchange.sdk.agency import Agency
from exchange.sdk.confidential import Content
from exchange.sdk.entries import Decided, Delegation, Published, Receipt, Received, Told
from exchange.sdk.enveloping import DecryptionKey
from exchange.sdk.keys import load as load_key
from exchange.sdk.keys import load_decryption as load_decryption_keys
from exchange.sdk.pdf import PdfSignature, pdf_signatures
from exchange.sdk.place import Gap
from exchange.sdk.session import GatewayRefused
from exchange.sdk.watching import LedgerBroken
from exchange.signatures import SigningKey
from exchange.statements import Fields, compose
from exchange.statements.document import TYPES

__all__ = [
    "TYPES",
    "Agency",
    "Content",
    "Decided",
    "DecryptionKey",
    "Delegation",
    "Fields",
    "Gap",
    "GatewayRefused",
    "LedgerBroken",
    "PdfSignature",
    "Published",
    "Receipt",
    "Received",
    "SigningKey",
    "Told",
    "compose",
    "load_decryption_keys",
    "load_key",
    "parse_code",
    "pdf_signatures",
]
