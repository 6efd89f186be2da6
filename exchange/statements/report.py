"""Report events: the figures of one regime and period, sent up the tree (Decree 09/2019/NĐ-CP)."""

from __future__ import annotations

import re

from exchange.errors import Rejected
from exchange.statements.codec import Fields
from exchange.statements.document import attachments, check_attachment
from exchange.statements.kind import Kind, Route, Topic, nobody
from exchange.statements.text import identifier, line, paragraph

FIGURES_MAX = 500
_DAY = "(0[1-9]|[12][0-9]|3[01])"
_HOUR = "T([01][0-9]|2[0-3])"
_PERIOD = re.compile(rf"20[0-9]{{2}}(-(H[12]|Q[1-4]|(0[1-9]|1[0-2])(-{_DAY}({_HOUR})?)?))?", re.ASCII)


def check(fields: Fields) -> None:
    """Apply the rules that need neither directory nor store; Rejected ``text.*``, ``report.*``."""
    identifier("id", fields["id"])
    identifier("regime", fields["regime"])
    if _PERIOD.fullmatch(fields["period"]) is None:
        raise Rejected("report.period", fields["period"][:80])
    if not 0 <= fields["revision"] <= 1000:
        raise Rejected("report.revision", str(fields["revision"]))
    if len(fields["figures"]) > FIGURES_MAX:
        raise Rejected("report.figures", f"{len(fields['figures'])} > {FIGURES_MAX}")
    for figure in fields["figures"]:
        line("figures.indicator", figure["indicator"], 60, 1)
        line("figures.unit", figure["unit"], 30)
        if isinstance(figure["value"], str):
            line("figures.value", figure["value"], 500)
    paragraph("content", fields["content"], 2000)
    for attachment in fields["attachments"]:
        check_attachment(attachment)


def _topic(_: Fields) -> str:
    return Topic.REPORTS


def _key(fields: Fields) -> str:
    return f"{fields['sender']}/{fields['regime']}/{fields['period']}"


def _addressees(fields: Fields) -> list[str]:
    return [fields["to"]] if fields["to"] is not None else []


REPORT = Kind(
    name="report",
    route=Route.SUPERIOR,
    topic=_topic,
    key=_key,
    check=check,
    leader=nobody,
    addressees=_addressees,
    attachments=attachments,
)
