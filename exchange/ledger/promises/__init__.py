"""What the backbone signs about its own work: a promise for each submission, a lapse for each deadline missed."""

from exchange.ledger.promises.finding import Found, PromiseFinder, count
from exchange.ledger.promises.saying import INCLUDED_WITHIN_MS, LAPSES, PROMISES
from exchange.ledger.promises.writer import STATE, PromiseWriter, Signing, Topics, positions

__all__ = [
    "INCLUDED_WITHIN_MS",
    "LAPSES",
    "PROMISES",
    "STATE",
    "Found",
    "PromiseFinder",
    "PromiseWriter",
    "Signing",
    "Topics",
    "count",
    "positions",
]
