"""Subtrees: the part of the tree of agencies in which what an agency sends and receives is counted.

Guarantees: each agency is in exactly one smallest subtree, named by its whole path, so that sums over subtrees are
sums over agencies, and what lies below a ministry, a province or a district is what has its code in its path.
"""

from __future__ import annotations

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.agencies.view import DirectoryView

SEPARATOR = "/"


def subtree_of(view: DirectoryView, agency: Agency) -> str:
    """The path of codes from the top of the tree down to the agency, without communes: ``G00/H26/H26.12``.

    A commune that stands below nothing is a subtree of its own.
    """
    chain = [*reversed(view.ancestors(agency.code)), agency]
    return SEPARATOR.join(one.code for one in chain if one.level is not Level.COMMUNE) or agency.code
