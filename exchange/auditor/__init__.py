"""The auditor: the books, re-derived from the topics alone, with code of its own."""

from exchange.auditor.auditor import HourVerdict, KafkaSource, audit, audit_hour, from_the_archive_on, take_cut
from exchange.auditor.books import Account, Balance, Coordinates, Copies, Finding, Records
from exchange.auditor.cut import Cut, Source
from exchange.auditor.findings import CODES
from exchange.auditor.hour import HourAudit
from exchange.auditor.reconcile import reconcile
from exchange.auditor.windows import Stated, StatedHour, Windows

__all__ = [
    "CODES",
    "Account",
    "Balance",
    "Coordinates",
    "Copies",
    "Cut",
    "Finding",
    "HourAudit",
    "HourVerdict",
    "KafkaSource",
    "Records",
    "Source",
    "Stated",
    "StatedHour",
    "Windows",
    "audit",
    "audit_hour",
    "from_the_archive_on",
    "reconcile",
    "take_cut",
]
