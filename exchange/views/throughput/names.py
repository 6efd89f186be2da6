"""What is counted in a window, and the name of each in a state and in the topic of results.

Guarantees: a name and what it names are one-to-one, so that a state is JSON as it is.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.errors import InvariantBroken

_SUBTREE, _LATENCY, _RECEIPT = "subtree", "latency", "receipt"


class Cell(NamedTuple):
    """Documents, deliveries, bytes; recipient's level 0 is the total's, where a document counts once."""

    sender_level: int
    recipient_level: int
    kind: str
    outcome: str
    code: str
    urgency: int


class Subtree(NamedTuple):
    """Of one smallest subtree of agencies (``schemas/delta``): documents and reports sent, copies received,
    submissions refused, receipts signed."""

    path: str


class Latency(NamedTuple):
    """Accepted statements that waited for the hop as long as a bucket says; the source says in which lane."""

    bucket: int


class Receipts(NamedTuple):
    """Receipts of agencies of one level that came as long after their document as a bucket says."""

    level: int
    bucket: int


Counted = Cell | Subtree | Latency | Receipts


def name_of(counted: Counted) -> str:
    """Its name. Raises: InvariantBroken if that could be another's too."""
    match counted:
        case Cell():
            name, parts = "|".join(map(str, counted)), len(Cell._fields)
        case Subtree(path):
            name, parts = f"{_SUBTREE}|{path}", 2
        case Latency(bucket):
            name, parts = f"{_LATENCY}|{bucket}", 2
        case Receipts(level, bucket):
            name, parts = f"{_RECEIPT}|{level}|{bucket}", 3
    if name.count("|") != parts - 1:
        raise InvariantBroken(f"{name} can't be named")
    return name


def named(name: str) -> Counted:
    """What a name means."""
    first, *rest = name.split("|")
    if first == _SUBTREE:
        return Subtree(*rest)
    if first == _LATENCY:
        return Latency(int(rest[0]))
    if first == _RECEIPT:
        return Receipts(int(rest[0]), int(rest[1]))
    recipient_level, kind, outcome, code, urgency = rest
    return Cell(int(first), int(recipient_level), kind, outcome, code, int(urgency))
