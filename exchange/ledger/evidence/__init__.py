"""Evidence: one file about one document that anyone can verify offline."""

from exchange.ledger.evidence.exporting import Event, Exporter, Subject, Submission
from exchange.ledger.evidence.verifying import FAILED, GOOD, NOT_REACHED, Anchors, Step, Verdict, verify

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
    "verify",
]
