"""What an agency can say: the kinds of statement, their bytes and their rules."""

from exchange.statements.codec import Fields, Schema, identify, schema, schemas
from exchange.statements.document import DOCUMENT
from exchange.statements.kind import SUBMISSION_TOPICS, AttachmentRef, Kind, Route, Statement, Topic
from exchange.statements.report import REPORT
from exchange.statements.status import STATUS

KINDS: dict[str, Kind] = {kind.name: kind for kind in (DOCUMENT, STATUS, REPORT)}
"""The kinds that may be submitted, by the name of their schema."""

__all__ = [
    "DOCUMENT",
    "KINDS",
    "REPORT",
    "STATUS",
    "SUBMISSION_TOPICS",
    "AttachmentRef",
    "Fields",
    "Kind",
    "Route",
    "Schema",
    "Statement",
    "Topic",
    "identify",
    "schema",
    "schemas",
]
