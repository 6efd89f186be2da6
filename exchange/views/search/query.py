"""What an auditor may ask of the trace store, and what that is in SQL.

Guarantees: whatever text is asked for, it is a parameter and never SQL; what is too long, too much or out of range is
refused before the database sees it. All that is asked must hold at once, and what is asked of a copy (recipient, its
level, status, receipts, recall) must hold of one and the same copy.

`sender`, `recipient`: from `below.agency` or `below.tree`. Hours count to the moment that the search is of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from exchange.errors import Rejected
from exchange.statements.chain import MAIN, UNDELIVERABLE, WAITING, WITHDRAWN
from exchange.statements.document import DAY_MAX, DAY_MIN, TYPES
from exchange.statements.status import ACCEPTED, ARRIVED, ASSIGNING, FINISHED, IN_PROGRESS, REFUSED
from exchange.views.folding import fold, words
from exchange.views.search.below import Agencies
from exchange.views.trace_terms import day, quote, top

TEXT_CHARACTERS_MAX = 500
WORDS_MAX = 16
HOURS_MAX = 100_000
HOUR_MS = 3_600_000
FLOOR_MS = -(2**63)
"""Before everything."""

STATUSES = {
    "waiting": WAITING,
    "arrived": ARRIVED,
    "refused": REFUSED,
    "accepted": ACCEPTED,
    "assigning": ASSIGNING,
    "in-progress": IN_PROGRESS,
    "finished": FINISHED,
    "withdrawn": WITHDRAWN,
    "undeliverable": UNDELIVERABLE,
}
"""What a copy can have come to, and the main track of its state then (exchange/statements/chain.py)."""

_OF_COPY = (
    "EXISTS (SELECT FROM deliveries c WHERE c.source_topic = e.source_topic AND c.partition = e.partition "
    "AND c.source_offset = e.source_offset AND {})"
)
_LIKE = "{} || '.' LIKE ANY(%(recipients)s)"

KINDS = ("document", "report", "status")
OUTCOMES = ("accepted", "rejected", "duplicate", "set_aside", "erased")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is sought; None is anything.

    `code`: number/notation, its beginning, the number or the notation alone. `subject`: words that all occur, with or
    without marks, in any order; one that ends with * is the beginning of a word. `rejection`: an error code, or the
    stage before its dot. `since_ms`, `until_ms`: append time, the end excluded; `issued_since`, `issued_until`: days
    since 1970, both included.
    `unacknowledged_h`: a copy that has no receipt though so many hours passed. `late_h`: its first receipt came after
    more than so many hours. `unreturned`: its sender wants it back, and nobody has confirmed that it is gone.

    Raises: Rejected ``search.*`` for what can't be asked.
    """

    id: str | None = None
    code: str | None = None
    subject: str | None = None
    sender: Agencies | None = None
    recipient: Agencies | None = None
    sender_level: int | None = None
    recipient_level: int | None = None
    type: str | None = None
    urgency: int | None = None
    kind: str | None = None
    outcome: str | None = None
    rejection: str | None = None
    status: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    issued_since: int | None = None
    issued_until: int | None = None
    unacknowledged_h: int | None = None
    late_h: int | None = None
    unreturned: bool = False

    def __post_init__(self) -> None:
        for name in ("id", "code", "subject", "rejection"):
            text = getattr(self, name)
            if text is not None and not (0 < len(text) <= TEXT_CHARACTERS_MAX and text.isprintable()):
                problem = f"{name}: one line of 1 to {TEXT_CHARACTERS_MAX} characters, please"
                raise Rejected("search.text", problem)
        _one_of("type", self.type, TYPES)
        _one_of("kind", self.kind, KINDS)
        _one_of("outcome", self.outcome, OUTCOMES)
        _one_of("status", self.status, STATUSES)
        _within("urgency", self.urgency, 0, 4)
        for name in ("sender_level", "recipient_level"):
            _within(name, getattr(self, name), 1, 4)
        for name in ("unacknowledged_h", "late_h"):
            _within(name, getattr(self, name), 0, HOURS_MAX)
        for name in ("since_ms", "until_ms"):
            _within(name, getattr(self, name), 0, 2**62)
        for name in ("issued_since", "issued_until"):
            _within(name, getattr(self, name), DAY_MIN, DAY_MAX)
        if self.subject is not None:
            _subject(self.subject)

    def spelled(self) -> str:
        """What is asked, as JSON with sorted names; equal for equal queries."""
        asked = {name: value for name, value in asdict(self).items() if value not in (None, False)}
        return json.dumps(asked, ensure_ascii=False, sort_keys=True)


class Where(NamedTuple):
    """Conditions on a row ``e`` of the events, and the values of their parameters. `span`: those on its time.

    ``floor_ms`` among the values: nothing older is looked at.
    """

    sql: str
    values: dict[str, Any]
    span: str = ""


def where(query: Query, as_of_ms: int) -> Where:
    """The query in SQL. `as_of_ms`: the moment up to which hours are counted."""
    span, conditions = ["terms IS NOT NULL", "append_ms >= %(floor_ms)s"], ["TRUE"]
    values: dict[str, Any] = {"floor_ms": FLOOR_MS}
    for name, sign in (("since_ms", ">="), ("until_ms", "<")):
        if (value := getattr(query, name)) is not None:
            span.append(f"append_ms {sign} %({name})s")
            values[name] = value
    hours = max(query.unacknowledged_h or 0, query.late_h or 0)
    if hours:  # nothing younger can be waiting so long, or have waited
        span.append("append_ms < %(before_ms)s")
        values["before_ms"] = as_of_ms - hours * HOUR_MS
    for name in ("id", "kind", "outcome"):
        if (value := getattr(query, name)) is not None:
            conditions.append(f"e.{name} = %({name})s")
            values[name] = value
    if sought := _terms(query):
        conditions.append("e.terms @@ %(terms)s::tsquery")
        values["terms"] = " & ".join(sought)
    copy = _copy(query)
    if copy.sql:
        conditions.append(_OF_COPY.format(copy.sql))
    return Where(" AND ".join(conditions), values | copy.values, " AND ".join(span))


def _terms(query: Query) -> list[str]:
    """What must be among the terms, each as a part of a tsquery."""
    sought = [] if query.subject is None else _subject(query.subject)
    if query.code is not None:
        code = fold(query.code.strip())
        whole, number, notation = (quote(term) for term in (f"c{code}", f"c{code}/", f"n{code}"))
        sought.append(f"{whole}:*" if "/" in code else f"({number}:* | {notation})")
    exactly = {
        "k": None if query.kind == "document" else query.kind,
        "o": None if query.outcome == "accepted" else query.outcome,
        "t": query.type,
        "u": query.urgency or None,
        "l": query.sender_level,
        "v": query.recipient_level,
    }
    sought += [quote(f"{letter}{value}") for letter, value in exactly.items() if value is not None]
    if query.sender is not None:
        sought.append(_any(_agency_terms("s", query.sender)))
    if query.recipient is not None:
        sought.append(_any(_agency_terms("r", query.recipient)))
    if query.rejection is not None:
        sought.append(f"({quote(f'x{query.rejection}')} | {quote(f'x{query.rejection}.')}:*)")
    if query.issued_since is not None or query.issued_until is not None:
        sought.append(_any(_days(query.issued_since or DAY_MIN, query.issued_until or DAY_MAX)))
    if query.urgency == 0:
        sought += [_any(f"t{name}" for name in TYPES), *(f"!{quote(f'u{urgent}')}" for urgent in range(1, 5))]
    if query.status == "undeliverable":
        sought.append(quote("z"))
    return sought


def _subject(text: str) -> list[str]:
    sought = []
    for part in text.split():
        found = words(part)
        sought += [quote(f"w{word}") for word in found]
        if found and part.endswith("*"):
            sought[-1] += ":*"
    if not 0 < len(sought) <= WORDS_MAX:
        raise Rejected("search.words", f"1 to {WORDS_MAX} words, please")
    return sought


def _agency_terms(letter: str, agencies: Agencies) -> Iterator[str]:
    for code, is_tree in agencies:
        if is_tree and code == top(code):
            yield f"{letter.upper()}{code}"
        else:
            yield f"{letter}{code}.{'*' if is_tree else ''}"


def _any(terms: Any) -> str:  # noqa: ANN401
    """Any of these terms; one that ends with * is a beginning."""
    return "(" + " | ".join(quote(t.removesuffix("*")) + (":*" if t.endswith("*") else "") for t in terms) + ")"


def _days(first: int, last: int) -> list[str]:
    """The terms of days from `first` to `last`: whole years and months by their beginnings."""
    found, now, end = list[str](), date.fromisoformat(day(first)), date.fromisoformat(day(last))
    while now <= end:
        year_after, month_after = date(now.year + 1, 1, 1), (now.replace(day=1) + timedelta(days=31)).replace(day=1)
        if (now.month, now.day) == (1, 1) and year_after - timedelta(days=1) <= end:
            found.append(f"d{now.year}-*")
            now = year_after
        elif now.day == 1 and month_after - timedelta(days=1) <= end:
            found.append(f"d{now.isoformat()[:8]}*")
            now = month_after
        else:
            found.append(f"d{now.isoformat()}")
            now += timedelta(days=1)
    return found or ["d-"]


def _copy(query: Query) -> Where:
    """What must hold of one copy; empty if the terms say it all. It is delivered, and asked back, after the floor."""
    conditions, values = list[str](), dict[str, Any]()
    if query.status is not None:
        conditions.append(f"c.state & {MAIN} = %(main)s")
        values["main"] = STATUSES[query.status]
    if query.status == "withdrawn":  # nothing is that wasn't asked back
        conditions.append("c.recalled_ms >= %(floor_ms)s")
    if query.unacknowledged_h is not None:
        conditions.append("c.delivered_ms >= %(floor_ms)s AND c.delay_ms IS NULL")
    if query.late_h is not None:
        conditions.append("c.delivered_ms >= %(floor_ms)s AND c.delay_ms > %(late_ms)s")
        values["late_ms"] = query.late_h * HOUR_MS
    if query.unreturned:
        conditions.append(f"c.recalled_ms >= %(floor_ms)s AND c.state & {MAIN} NOT IN ({WITHDRAWN}, {UNDELIVERABLE})")
    if conditions and query.recipient is not None:
        conditions.append(f"({_LIKE.format('c.recipient')} OR {_LIKE.format('c.redirected_from')})")
        values["recipients"] = [f"{part.code}.{'%' if part.is_tree else ''}" for part in query.recipient]
    if conditions and query.recipient_level is not None:
        conditions.append("c.level = %(recipient_level)s")
        values["recipient_level"] = query.recipient_level
    return Where(" AND ".join(conditions), values)


def _one_of(name: str, value: str | None, choices: Any) -> None:  # noqa: ANN401
    if value is not None and value not in choices:
        raise Rejected("search.choice", f"{name}: {value[:40]!r} is none of {', '.join(choices)}")


def _within(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise Rejected("search.range", f"{name}: {value} is not within {least} to {most}")
