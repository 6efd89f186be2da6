"""What the audit of one partition number works with, and one event to be checked in it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from exchange.backbone.reading import Read
from exchange.ledger.books import Coordinates
from exchange.ledger.claims import Claims
from exchange.ledger.columns import Column
from exchange.ledger.cut import Cut
from exchange.ledger.deltas import CellKey
from exchange.ledger.findings import Findings
from exchange.ledger.inboxes import NOTICE, Inboxes, content_of
from exchange.ledger.receipts import Receipts
from exchange.ledger.recount import Recount
from exchange.ledger.said import Said, expected_notice
from exchange.ledger.tally import Tally
from exchange.statements import Fields

Cells = list[tuple[CellKey, int, int]]
"""Cells of the throughput to recount: key, deliveries, bytes."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the audit of one partition number works with."""

    number: int
    cut: Cut
    backbone: str
    recount: Recount
    tally: Tally
    findings: Findings
    inboxes: Inboxes
    claims: Claims
    receipts: Receipts
    dead_letters: dict[str, Column]


class Case(NamedTuple):
    """One event and its submission. `append_ms` and `directory_offset`: as every output must name them."""

    at: Coordinates
    read: Read
    event: Fields
    append_ms: int
    directory_offset: int

    @property
    def id(self) -> str:
        """The id that the event names."""
        statement_id: str = self.event["id"]
        return statement_id


def expect_notice(scope: Scope, case: Case, said: Said, code: str, unreached: list[str]) -> None:
    """Expect the notice to the (verified) sender, if it has an inbox."""
    copy = scope.recount.deliverable(said.fields["sender"])
    if copy is None:
        return
    told = expected_notice(case.at, case.append_ms, said, scope.backbone, code, unreached)
    digest = sha256(told).digest()
    to = (copy.recipient,)
    content = content_of(case.read.key, to, digest, case.append_ms, case.directory_offset, digest)
    scope.inboxes.expect((copy.level, copy.partition), case.at, content, to, NOTICE)
