"""Evidence: one file about one document that anyone can verify offline."""

from exchange.ledger.evidence.anchors import Anchors
from exchange.ledger.evidence.bundle import is_bundle, read_bundle, write_bundle
from exchange.ledger.evidence.exporting import Event, Exporter, Subject, Submission
from exchange.ledger.evidence.renewing import renew
from exchange.ledger.evidence.verifying import FAILED, GOOD, NOT_REACHED, Step, Verdict, verify

__all__ = [
    "FAILED",
    "GOOD",
    "NOT_REACHED",
    "Anchors",
    "Event",
    "Exporter",
    "Step",
    "Subject",
    "Submission",
    "Verdict",
    "is_bundle",
    "read_bundle",
    "renew",
    "verify",
    "write_bundle",
]
