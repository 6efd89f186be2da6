"""Agency codes: which text is read as which code, and what is refused."""

from __future__ import annotations

import pytest

from exchange.agencies.codes import (
    BACKBONE_CODE,
    CODE_CHARACTERS_MAX,
    REGISTRAR_CODE,
    ROOT_CODE,
    parse_code,
    to_old,
)
from exchange.errors import Rejected


@pytest.mark.parametrize(
    "code",
    [
        "G22",
        "H37.02.02",
        "H37.DN.001",
        "020100100079",
        "H17.22.28",
        "TT2",
        "A",
        "0",
        "H13.20.00.002",
        "G00.AXIS",
    ],
)
def test_new_form_stays(code: str) -> None:
    assert parse_code(code) == code


@pytest.mark.parametrize(
    ("old", "code"),
    [
        ("000.00.00.G12", "G12"),
        ("000.00.18.G12", "G12.18"),
        ("000.00.14.H56", "H56.14"),
        ("000.00.00.TT2", "TT2"),
        ("000.00.00.JB2", "JB2"),
        ("28.22.H17", "H17.22.28"),
        ("14.00.W00", "W00.00.14"),
        ("14.H56", "H56.14"),
        ("000.28.22.H17", "H17.22.28"),
        ("00.00.H17", "H17"),
        # Zero groups inside stay: H13.20.002 would be another code.
        ("002.00.20.H13", "H13.20.00.002"),
        ("002.20.00.H13", "H13.00.20.002"),
        # Letters in the groups between.
        ("001.A1.DN.H37", "H37.DN.A1.001"),
    ],
)
def test_old_form_is_bridged(old: str, code: str) -> None:
    assert parse_code(old) == code


@pytest.mark.parametrize(
    "code",
    [
        "A01.02.03.H17",  # level 1 could stand first or last
        "H37.02.H17",
        "0A1.02.H17",  # sizes are not those of an old form
        "1.02.H17",
        "000.00.00.00.H17",
        "02.03.017",  # the last group doesn't begin with a letter
    ],
)
def test_where_both_or_neither_fit_the_new_form_wins(code: str) -> None:
    assert parse_code(code) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "G22.",
        ".G22",
        "G22..01",
        "g22",
        "vxp.saas.03",
        "G22\n",
        "\nG22",
        " G22",
        "G22 ",
        "G22\x00",
        "G22,01",
        "G٢٢",  # Arabic-Indic digits
        "G²",
        "Ｇ22",  # full-width letter
        "Đ22",
        "H" * (CODE_CHARACTERS_MAX + 1),
        "000.00.00.G22(mã đơn vị gửi)",
    ],
)
def test_malformed_code_is_rejected(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_code(text)
    assert caught.value.code == "agency.code_malformed"


def test_longest_code_is_accepted() -> None:
    assert parse_code("H" * CODE_CHARACTERS_MAX) == "H" * CODE_CHARACTERS_MAX


def test_detail_quotes_a_bounded_part() -> None:
    with pytest.raises(Rejected) as caught:
        parse_code("x" * 1_000_000)
    assert len(caught.value.detail) < 100


@pytest.mark.parametrize(
    ("code", "old"),
    [
        ("G22", "000.00.00.G22"),
        ("H56.14", "000.00.14.H56"),
        ("H17.22.28", "000.28.22.H17"),
        ("H13.20.00.002", "002.00.20.H13"),
    ],
)
def test_old_form_of(code: str, old: str) -> None:
    assert to_old(code) == old
    assert parse_code(old) == code


@pytest.mark.parametrize(
    "code",
    [
        BACKBONE_CODE,
        REGISTRAR_CODE,
        "020100100079",
        "H37.DN.001",
        "H37.2",
        "H17.22.28.003.01",
        "017.02",
        "H17.00",  # would come back as H17
        "H17.22.28.A01",  # would come back as it is
        "g22",
        "",
    ],
)
def test_no_old_form(code: str) -> None:
    assert to_old(code) is None


def test_own_codes_are_codes() -> None:
    for code in (ROOT_CODE, BACKBONE_CODE, REGISTRAR_CODE):
        assert parse_code(code) == code
