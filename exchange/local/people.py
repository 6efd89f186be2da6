"""The leaders of the simulated nation: invented people, two for each open agency.

Guarantees: the same people on every call; ids are unique in the country. No name is meant to be a real
leader's: it is drawn from the hash of the id. The exchange's own agencies have no leaders, nor have merged
ones.

Source: ``data/people.toml``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from exchange.agencies.entries import Agency, Leader
from exchange.local.sources import toml

_WITHOUT_LEADERS = frozenset({"backbone", "registry"})
_OTHER_POSITIONS = ("Giám đốc", "Phó Giám đốc")


class _Parts(NamedTuple):
    family: list[str]
    middle: tuple[list[str], list[str]]
    given: tuple[list[str], list[str]]
    positions: list[tuple[str, tuple[str, str]]]


def leaders(agencies: Sequence[Agency]) -> list[Leader]:
    """Return a head (``…-L1``) and a deputy (``…-L2``) for each open agency, version 1."""
    found = []
    for agency in agencies:
        if agency.valid_to is not None or agency.form in _WITHOUT_LEADERS:
            continue
        for place, position in enumerate(_positions_at(agency.name), start=1):
            leader_id = f"{agency.code}-L{place}"
            name = _name_of(leader_id)
            found.append(Leader(leader_id, 1, agency.code, name, position, agency.valid_from, None))
    return found


def _positions_at(agency_name: str) -> tuple[str, str]:
    for beginning, positions in _parts().positions:
        if agency_name.startswith(beginning):
            return positions
    return _OTHER_POSITIONS


def _name_of(leader_id: str) -> str:
    parts = _parts()
    digest = hashlib.sha256(leader_id.encode()).digest()
    draws = [int.from_bytes(digest[at : at + 4], "big") for at in (0, 4, 8, 12)]
    sex = draws[0] % 2
    choices = (parts.family, parts.middle[sex], parts.given[sex])
    return " ".join(names[draw % len(names)] for names, draw in zip(choices, draws[1:], strict=True))


@cache
def _parts() -> _Parts:
    table = toml("people.toml")
    positions = sorted(table["positions"].items(), key=lambda row: -len(row[0]))
    return _Parts(
        table["family"],
        (table["men_middle"], table["women_middle"]),
        (table["men_given"], table["women_given"]),
        [(beginning, (head, deputy)) for beginning, (head, deputy) in positions],
    )
