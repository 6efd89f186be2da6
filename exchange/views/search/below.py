"""Whom a search means: one agency, or all of the tree at and below it.

Guarantees: exactly the agencies that the directory has there, open and closed, whatever their codes are. Codes that
begin alike are sought by that beginning, where the tree holds all of them: a province is one term and not hundreds.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.agencies.view import DirectoryView
from exchange.errors import Rejected

AGENCIES_MAX = 4_096
"""Parts that a search may name."""


class Part(NamedTuple):
    """An agency by its code, or (`is_tree`) everyone whose code is it or is numbered below it."""

    code: str
    is_tree: bool = False


Agencies = tuple[Part, ...]


def agency(view: DirectoryView, code: str) -> Agencies:
    """The agency alone; `code` as `DirectoryView.agency` reads it. Raises: Rejected ``agency.unknown``."""
    return (Part(_known(view, code)),)


def tree(view: DirectoryView, code: str) -> Agencies | None:
    """The agency and all below it; None if that is everyone.

    Raises: Rejected ``agency.unknown``, ``search.agencies``.
    """
    top = _known(view, code)
    within = _below(view, top)
    everyone = {one.code for one in view.agencies()}
    if within == everyone:
        return None
    outside = {beginning for other in everyone - within for beginning in _beginnings(other)}
    parts = dict.fromkeys(_part(one, outside) for one in sorted(within))
    if len(parts) > AGENCIES_MAX:
        raise Rejected("search.agencies", f"{top} and all below it are {len(parts)} parts")
    return tuple(parts)


def _known(view: DirectoryView, code: str) -> str:
    found = view.agency(code)
    if found is None:
        raise Rejected("agency.unknown", code[:40])
    return found.code


def _below(view: DirectoryView, top: str) -> set[str]:
    found, waiting = {top}, [top]
    while waiting:
        children = {child.code for child in view.children(waiting.pop())} - found
        found |= children
        waiting += children
    return found


def _part(code: str, outside: set[str]) -> Part:
    """The shortest beginning of a code under which nobody from outside is."""
    for beginning in _beginnings(code):
        if beginning not in outside:
            return Part(beginning, is_tree=True)
    return Part(code)


def _beginnings(code: str) -> list[str]:
    groups = code.split(".")
    return [".".join(groups[:count]) for count in range(1, len(groups) + 1)]
