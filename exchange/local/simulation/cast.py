"""Who takes part in a simulation: units of all four levels, with their keys and certificates.

Deterministic by seed. Keys are made once a home and listed in the directory; a second run finds them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from exchange.agencies.entries import Agency, Leader
from exchange.agencies.levels import Level
from exchange.agencies.resolution import is_open
from exchange.agencies.view import DirectoryView
from exchange.backbone.clients import Config
from exchange.local.authority import Authority
from exchange.local.enrolment import leader_of, seal_of
from exchange.local.founding import listed, publish
from exchange.local.issuing import Issued
from exchange.local.progress import Report, silent
from exchange.pipeline.routing import day_of
from exchange.signatures import SigningKey

PROVINCES_DEEP = 12
"""Provinces whose districts and communes take part; of the others the province and its departments do."""
DISTRICTS_EACH = 8
COMMUNES_EACH = 3
DEPARTMENTS_EACH = 2


@dataclass(frozen=True, slots=True)
class Member:
    """One unit of the cast. `leader` signs with `leader_key` where a document asks for it."""

    agency: Agency
    key: SigningKey
    leader: Leader | None = None
    leader_key: SigningKey | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """The units by code and by level."""

    members: dict[str, Member]
    by_level: dict[Level, list[Member]]


def choose(view: DirectoryView, seed: int, now_ms: int) -> list[Agency]:
    """The units that take part: the centre, every province, and some provinces down to their communes."""
    random, today = Random(seed), day_of(now_ms)  # noqa: S311  a simulation, repeatable by its seed
    open_ones = [agency for agency in view.agencies() if is_open(agency, today)]
    chosen = [
        a for a in open_ones
        if a.form in {"ministry", "ministerial-agency", "government-agency", "state-corporation"}
    ]  # fmt: skip
    provinces = [a for a in open_ones if a.form == "province"]
    deep = {a.code for a in random.sample(provinces, min(PROVINCES_DEEP, len(provinces)))}
    for province in provinces:
        children = [a for a in view.children(province.code) if is_open(a, today)]
        chosen.append(province)
        chosen += [a for a in children if a.form == "department"][:DEPARTMENTS_EACH]
        if province.code in deep:
            districts = [a for a in children if a.level is Level.DISTRICT]
            for district in random.sample(districts, min(DISTRICTS_EACH, len(districts))):
                communes = [a for a in view.children(district.code) if is_open(a, today)]
                chosen.append(district)
                chosen += random.sample(communes, min(COMMUNES_EACH, len(communes)))
    return chosen


def gather(
    authority: Authority, base: Config, view: DirectoryView, chosen: Sequence[Agency], report: Report = silent
) -> Cast:
    """Give every chosen unit a seal, and every ministry and province a leader who signs; list what is new."""
    step = "Issuing certificates"
    fresh: list[Issued] = []
    members: dict[str, Member] = {}
    for number, agency in enumerate(chosen):
        report(step, number, len(chosen))
        seal = seal_of(authority, agency)
        if view.certificate(seal.fingerprint) is None:
            fresh.append(seal)
        leader = view.leader(f"{agency.code}-L1") if agency.form in {"ministry", "province"} else None
        if leader is None:
            members[agency.code] = Member(agency, seal.signing_key)
            continue
        signed = leader_of(authority, leader)
        if view.certificate(signed.fingerprint) is None:
            fresh.append(signed)
        members[agency.code] = Member(agency, seal.signing_key, leader, signed.signing_key)
    report(step, len(chosen), len(chosen))
    if fresh:
        publish(base, authority, listed(fresh))
    by_level: dict[Level, list[Member]] = {level: [] for level in Level}
    for member in members.values():
        by_level[member.agency.level].append(member)
    return Cast(members, by_level)
