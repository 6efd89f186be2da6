"""RFC 3161 time-stamps: verified, asked for, and (for demos and tests) given."""

from exchange.ledger.stamps.asking import ask
from exchange.ledger.stamps.granting import TimeStamper
from exchange.ledger.stamps.posting import post
from exchange.ledger.stamps.token import DIGESTS, Stamp, claim, verify_stamp

__all__ = ["DIGESTS", "Stamp", "TimeStamper", "ask", "claim", "post", "verify_stamp"]
