"""What the audit of one partition number works with, and one event to be checked in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol

from exchange.auditor.books import Coordinates
from exchange.auditor.claims import Claims
from exchange.auditor.columns import Column
from exchange.auditor.cut import Cut
from exchange.auditor.deltas import Counted, ignore
from exchange.auditor.findings import Findings
from exchange.auditor.inboxes import NOTICE, Inboxes, content_of
from exchange.auditor.receipts import Receipts
from exchange.auditor.recount import Recount
from exchange.auditor.said import Said, expected_notice
from exchange.auditor.tally import Tally
from exchange.auditor.windows import Windows
from exchange.backbone.reading import Read
from exchange.statements import Fields


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


Told = Callable[[Case], None]
"""Told each event in which nothing was found."""


def pass_over(_: Case) -> None:
    """Tell nobody."""


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
    counted: Counted = ignore
    told: Told = pass_over
    deeper: Deeper | None = None
    windows: Windows | None = None


class Deeper(Protocol):
    """What a deep audit derives beyond that, for one partition number."""

    def check(self, case: Case) -> str | None:
        """Derive the verdict again; returns the detail that its dead letter must have, if that is known."""
        ...

    def finish(self) -> None:
        """All events were checked."""
        ...


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
