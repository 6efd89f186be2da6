"""Who stands behind a code on a date: unknown, open, redirected to a successor, or closed.

Each answer is one frozen class; `match` over `Resolution` is exhaustive. What follows from each is the hop's
business: unknown rejects the document, open and redirected deliver, closed is undeliverable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from exchange.agencies.entries import Agency

SUCCESSIONS_MAX = 16
"""How many successions are followed; a longer chain, or a cycle, counts as closed."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No agency has, or ever had, this code in the view."""

    code: str


@dataclass(frozen=True, slots=True)
class Open:
    """The agency exists on that date."""

    agency: Agency


@dataclass(frozen=True, slots=True)
class Redirected:
    """The agency closed; `successor`, open on that date, took over, directly or by a chain of successions."""

    original: Agency
    successor: Agency


@dataclass(frozen=True, slots=True)
class Closed:
    """The agency doesn't exist on that date, and no one single open agency stands in for it.

    It closed without a successor, or was divided among several, or doesn't exist yet.
    """

    agency: Agency


Resolution = Unknown | Open | Redirected | Closed
"""One of the four answers."""


def is_open(agency: Agency, on: date) -> bool:
    """Tell whether `agency` exists on `on`; both ends are inclusive."""
    return agency.valid_from <= on and (agency.valid_to is None or on <= agency.valid_to)


def recipient_of(resolution: Resolution) -> Agency | None:
    """Return the agency that gets the document, None if there is none."""
    match resolution:
        case Open(agency):
            return agency
        case Redirected(_, successor):
            return successor
        case Unknown() | Closed():
            return None


def follow(original: Agency, on: date, find: Callable[[str], Agency | None]) -> Redirected | Closed:
    """Follow the chain of single successors of an agency that isn't open on `on`.

    `find` looks an agency up by code. The chain ends at the first open agency; at one that has none or
    several successors, isn't open yet, or is unknown, the original counts as closed.
    """
    agency = original
    for _ in range(SUCCESSIONS_MAX):
        if on < agency.valid_from or len(agency.successors) != 1:
            break
        successor = find(agency.successors[0])
        if successor is None:
            break
        if is_open(successor, on):
            return Redirected(original, successor)
        agency = successor
    return Closed(original)
