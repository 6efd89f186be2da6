"""The auditor: the books, re-derived from the topics alone, with code of its own."""

from exchange.auditor.auditor import (
    HourVerdict,
    KafkaSource,
    Progress,
    audit,
    audit_hour,
    audit_share,
    from_the_archive_on,
    quiet,
    take_cut,
)
from exchange.auditor.books import Account, Balance, Coordinates, Copies, Finding, Records
from exchange.auditor.cut import Cut, Source
from exchange.auditor.findings import CODES
from exchange.auditor.hour import HourAudit
from exchange.auditor.processes import in_processes
from exchange.auditor.reconcile import examine, reconcile
from exchange.auditor.share import Part, Share, merged
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
    "Part",
    "Progress",
    "Records",
    "Share",
    "Source",
    "Stated",
    "StatedHour",
    "Windows",
    "audit",
    "audit_hour",
    "audit_share",
    "examine",
    "from_the_archive_on",
    "in_processes",
    "merged",
    "quiet",
    "reconcile",
    "take_cut",
]
