"""Who belongs to a group, as of a view and a date.

Guarantees: the same view, group and date give the same members in the same order, in every process that read
the same topic; every member is open on that date. Does not decide who may address a group: `Group.senders`
says that, the hop asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Protocol

from exchange.agencies.entries import Agency, Group
from exchange.agencies.resolution import Resolution, is_open, recipient_of


class Tree(Protocol):
    """What expansion needs of a view."""

    def agencies(self) -> Iterator[Agency]:
        """Every agency, open or closed."""
        ...

    def children(self, code: str) -> tuple[Agency, ...]:
        """The agencies right below one."""
        ...

    def resolve(self, code: str, on: date) -> Resolution:
        """Who stands behind a code on a date."""
        ...


def members(tree: Tree, group: Group, on: date) -> tuple[Agency, ...]:
    """Return the members of `group` that are open on `on`, sorted by code, each once.

    An explicit member that was succeeded by one agency is represented by it, so that a merger between the
    group's last version and today loses no recipient; one that is unknown or closed falls away.
    """
    found: dict[str, Agency] = {}
    if group.level is not None or group.form is not None or group.under is not None:
        candidates = tree.agencies() if group.under is None else descendants(tree, group.under)
        found.update((agency.code, agency) for agency in _matching(candidates, group, on))
    for code in group.members:
        recipient = recipient_of(tree.resolve(code, on))
        if recipient is not None:
            found[recipient.code] = recipient
    return tuple(found[code] for code in sorted(found))


def descendants(tree: Tree, code: str) -> Iterator[Agency]:
    """Yield every agency below `code`, itself excluded, open or closed.

    Each has one parent, so nothing is met twice unless `code` is part of a cycle; that is walked once.
    """
    waiting = [code]
    while waiting:
        for child in tree.children(waiting.pop()):
            if child.code != code:
                waiting.append(child.code)
                yield child


def _matching(candidates: Iterable[Agency], group: Group, on: date) -> Iterator[Agency]:
    for agency in candidates:
        if (
            (group.level is None or agency.level is group.level)
            and (group.form is None or agency.form == group.form)
            and is_open(agency, on)
        ):
            yield agency
