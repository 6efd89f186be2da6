"""The terms under which a submission is found: one set of words that says all about it that never changes.

A term is a letter that says of what it is, and a value. They stand in `events.terms`, a tsvector with one index over
it, so that any of them can be sought together, and by their beginnings. What most submissions
are has no term, for each costs.

| letter | of | value |
|---|---|---|
| w | the subject | a folded word |
| c, n | number/notation, and the notation alone | folded |
| s, r | the sender (as claimed, if not verified); a recipient, also one that was redirected | code and a dot |
| S, R | the top of their codes: the province, the ministry | the first group |
| l, v | the sender's level; a recipient's | 1–4 |
| t, u | a document's type; its urgency, unless 0 | as in the schema |
| d | the day of issue | 2026-11-25 |
| k, o | kind, unless a document; outcome, unless accepted | |
| x | why it was refused | error code |
| z | a recipient whose unit is closed | nothing |

Guarantees: pure. Codes end with a dot, so that what begins with ``rH26.21.`` is H26.21 and what is numbered below it.
Whole provinces and ministries have terms of their own: PostgreSQL knows how often a term occurs, of beginnings it
guesses, by far too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from exchange.statements import Fields
from exchange.statements.document import DAY_MAX, DAY_MIN
from exchange.views.folding import fold, words

_EPOCH = date(1970, 1, 1)


def terms_of(event: Fields) -> str | None:
    """The terms of an event of the trace as PostgreSQL reads a tsvector; None of an accepted status.

    Accepted statuses are most of all events, and are found by the document that they are about.
    """
    if event["status"] is not None:
        return None
    sender = event["sender"]
    terms = [f"s{sender}.", f"S{top(sender)}"]
    if event["kind"] != "document":
        terms.append(f"k{event['kind']}")
    if event["outcome"] != "accepted":
        terms += (f"o{event['outcome']}", f"x{event['code']}")
    else:
        terms.append(f"l{event['sender_level']}")
        terms += _recipients(event["deliveries"])
        if event["summary"] is not None:
            terms += _document(event["summary"])
    return vector(terms)


def _recipients(copies: Iterable[Fields]) -> set[str]:
    terms = set[str]()
    for copy in copies:
        code, before = copy["recipient"], copy["redirected_from"]
        terms.update((f"r{code}.", f"R{top(code)}", f"v{copy['level']}"))
        if before is not None:
            terms.update((f"r{before}.", f"R{top(before)}"))
        if copy["partition"] < 0:
            terms.add("z")
    return terms


def _document(summary: Fields) -> list[str]:
    code = fold(summary["code"])
    terms = [
        f"t{summary['type']}",
        f"c{code}",
        f"n{code.partition('/')[2]}",
        *(f"w{word}" for word in words(summary["subject"])),
    ]
    if summary["urgency"]:
        terms.append(f"u{summary['urgency']}")
    if DAY_MIN <= summary["issued"] <= DAY_MAX:
        terms.append(f"d{day(summary['issued'])}")
    return terms


def top(code: str) -> str:
    """The first group of a code."""
    return code.partition(".")[0]


def day(days: int) -> str:
    """A day counted from 1970, as a term says it."""
    return (_EPOCH + timedelta(days)).isoformat()


def vector(terms: Sequence[str]) -> str:
    """Terms as PostgreSQL reads a tsvector (and a tsquery, of one): each quoted."""
    joined = "' '".join(terms)
    if "\\" in joined or joined.count("'") != 2 * (len(terms) - 1):
        return " ".join(map(quote, terms))
    return f"'{joined}'"


def quote(term: str) -> str:
    """One term, whatever it holds."""
    if "'" in term or "\\" in term:
        term = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{term}'"
