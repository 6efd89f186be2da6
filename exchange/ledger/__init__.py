"""The ledger and the auditor: what can be re-derived and proved from the topics alone."""

from exchange.ledger.auditor import KafkaSource, audit, take_cut
from exchange.ledger.books import Account, Balance, Coordinates, Copies, Finding, Records
from exchange.ledger.cut import Cut, Source
from exchange.ledger.findings import CODES
from exchange.ledger.reconcile import reconcile

__all__ = [
    "CODES",
    "Account",
    "Balance",
    "Coordinates",
    "Copies",
    "Cut",
    "Finding",
    "KafkaSource",
    "Records",
    "Source",
    "audit",
    "reconcile",
    "take_cut",
]
