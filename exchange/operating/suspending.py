"""Suspending a sender, and letting it speak again: two people's signed decision.

Guarantees: from the directory offset returned on, no hop accepts anything that the agency says (``sender.suspended``,
the bytes kept as a dead letter, the agency told) and no gateway takes it; each follows the directory while it works,
so within seconds. The auditor derives the same from the directory. What was accepted before stands; the agency goes on
receiving; units below it aren't meant. Nothing uses up an id, so after `resume` the same bytes are accepted.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.agencies import BACKBONE_CODE, REGISTRAR_CODE, Suspension
from exchange.errors import Rejected
from exchange.operating.deciding import Registrar, checked_reason, checked_two, now_ms


class Decided(NamedTuple):
    """What was signed, and from which directory offset on it counts."""

    suspension: Suspension
    directory_offset: int


def suspend(registrar: Registrar, code: str, reason: str, by: str, seconded_by: str) -> Decided:
    """Silence an agency, named by any of its codes.

    Raises: Rejected ``agency.unknown``, ``sender.suspended`` (it is already), ``sender.own_voice`` (the exchange can't
        silence itself), ``decision.*``; Unavailable.
    """
    return _decide(registrar, code, is_suspended=True, texts=(reason, by, seconded_by))


def resume(registrar: Registrar, code: str, reason: str, by: str, seconded_by: str) -> Decided:
    """Let a suspended agency speak again.

    Raises: Rejected ``agency.unknown``, ``sender.not_suspended``, ``decision.*``; Unavailable.
    """
    return _decide(registrar, code, is_suspended=False, texts=(reason, by, seconded_by))


def _decide(registrar: Registrar, code: str, *, is_suspended: bool, texts: tuple[str, str, str]) -> Decided:
    reason, two = checked_reason(texts[0]), checked_two(*texts[1:])
    registrar.log.catch_up()
    view = registrar.view
    agency = view.agency(code)
    if agency is None:
        raise Rejected("agency.unknown", code[:60])
    if agency.code in {BACKBONE_CODE, REGISTRAR_CODE}:
        raise Rejected("sender.own_voice", agency.code)
    standing = view.suspension(agency.code)
    if is_suspended and standing is not None:
        raise Rejected("sender.suspended", f"{agency.code} is suspended already, by {standing.by}: {standing.reason}")
    if not is_suspended and standing is None:
        raise Rejected("sender.not_suspended", agency.code)
    said = view.last_suspension(agency.code)
    before = 0 if said is None else said.version
    decision = Suspension(agency.code, max(now_ms(), before + 1), is_suspended, reason, *two)
    return Decided(decision, registrar.say(decision))
