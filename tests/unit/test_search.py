"""Searching, as far as no database is needed: folding, terms, what a query becomes, whom a tree means, cursors."""

from __future__ import annotations

import base64
from datetime import date

import pytest

from exchange.agencies import Agency, Directory, DirectoryView, Level
from exchange.errors import Rejected
from exchange.views.folding import fold, words
from exchange.views.search import Query, below, cursors
from exchange.views.search.below import Part
from exchange.views.search.cursors import Key, decode, encode
from exchange.views.search.query import where
from exchange.views.trace_terms import quote, terms_of, vector
from tests.support import traces
from tests.support.traces import G04, H01, H26

NOW_MS = 1_760_000_000_000
KEY = Key(NOW_MS, "documents", 3, 17)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Nghị quyết", "nghi quyet"),
        ("NGHỊ QUYẾT", "nghi quyet"),
        ("Nghi\u0323 quye\u0302\u0301t", "nghi quyet"),  # decomposed, as some systems write it
        ("Đẩy mạnh", "day manh"),
        ("đường Hòa/Hoà", "duong hoa/hoa"),
        ("ｆｕｌｌ ﬁne", "full fine"),
        ("Straße", "strasse"),
        ("日本 กำ", "日本 กํา"),
    ],
)
def test_marks_case_and_width_do_not_count(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_words_are_what_stands_between_other_characters() -> None:
    assert words("Về việc: chuyển-đổi_số (2026), về 5G!") == ["ve", "viec", "chuyen", "doi", "so", "2026", "5g"]
    assert words("…") == []
    assert words("x" * 100) == ["x" * 64]


def test_the_terms_of_a_document() -> None:
    document = traces.accepted(5, H26, "d-1", [], deliveries=[
        traces.copy(G04, level=1), traces.copy(H01, 4, -1, redirected_from="H99"),
    ], summary=traces.summary(subject="Nghị quyết 'mới'", urgency=2, type="QĐ", code="12/NQ-HĐND"))  # fmt: skip
    terms = terms_of(document)
    assert terms is not None
    assert set(terms.split()) == {
        "'S000'", "'R000'", "'RH99'",
        f"'s{H26}.'", "'l2'", f"'r{G04}.'", "'v1'", f"'r{H01}.'", "'rH99.'", "'v4'", "'z'", "'tQĐ'", "'u2'",
        "'c12/nq-hdnd'", "'nnq-hdnd'", "'wnghi'", "'wquyet'", "'wmoi'", "'d2025-10-09'",
    }  # fmt: skip


def test_what_is_refused_is_found_by_its_code_and_accepted_statuses_are_not_found_themselves() -> None:
    refused = terms_of(traces.event(5, H26, "d-1", code="signature.invalid", kind="document"))
    assert refused == f"'s{H26}.' 'S000' 'orejected' 'xsignature.invalid'"
    document = traces.accepted(5, H26, "d-1", [G04])
    assert terms_of(traces.status(6, 1, document, G04, 1)) is None


@pytest.mark.parametrize("hostile", ["'", "\\", "a' | 'b", "\\'; --", "''", "' '"])
def test_any_text_is_one_quoted_term(hostile: str) -> None:
    assert quote(hostile) == "'" + hostile.replace("\\", "\\\\").replace("'", "''") + "'"
    assert vector(["a", hostile, "b"]) == f"'a' {quote(hostile)} 'b'"


def terms(query: Query) -> str:
    return str(where(query, NOW_MS).values["terms"])


def test_words_must_all_occur_and_a_star_ends_a_beginning() -> None:
    assert terms(Query(subject="Nghị quyế*")) == "'wnghi' & 'wquye':*"
    assert terms(Query(subject="chuyển-đổi")) == "'wchuyen' & 'wdoi'"


def test_a_code_is_sought_by_its_beginning_its_number_or_its_notation() -> None:
    assert terms(Query(code="12/NQ-HĐND")) == "'c12/nq-hdnd':*"
    assert terms(Query(code="NQ-HĐND")) == "('cnq-hdnd/':* | 'nnq-hdnd')"


def test_a_province_is_a_term_and_what_is_below_it_a_beginning() -> None:
    sender = (Part("H26", is_tree=True), Part("H29"), Part("G04.07", is_tree=True))
    assert terms(Query(sender=sender)) == "('SH26' | 'sH29.' | 'sG04.07.':*)"


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2026-01-30", "2026-03-01", "('d2026-01-30' | 'd2026-01-31' | 'd2026-02-':* | 'd2026-03-01')"),
        ("2024-12-31", "2026-12-31", "('d2024-12-31' | 'd2025-':* | 'd2026-':*)"),
        ("2026-02-28", "2026-02-28", "('d2026-02-28')"),
        ("2026-02-28", "2026-02-27", "('d-')"),
    ],
)
def test_days_of_issue_are_whole_months_and_years_where_they_can(first: str, last: str, days: str) -> None:
    bounds = [(date.fromisoformat(text) - date(1970, 1, 1)).days for text in (first, last)]
    assert terms(Query(issued_since=bounds[0], issued_until=bounds[1])) == days


def test_what_is_asked_of_a_copy_is_asked_of_one_copy() -> None:
    asked = where(Query(recipient=(Part("H26", is_tree=True),), unacknowledged_h=48), NOW_MS)
    assert asked.values["terms"] == "('RH26')"
    assert asked.values["recipients"] == ["H26.%"]
    assert asked.values["before_ms"] == NOW_MS - 48 * 3_600_000, "the walk begins where something can be found"
    assert "EXISTS" not in where(Query(recipient=(Part("H26"),)), NOW_MS).sql


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("search.text", {"subject": "x" * 501}),
        ("search.text", {"id": ""}),
        ("search.text", {"code": "a\x00b"}),
        ("search.text", {"subject": "a\u202eb"}),
        ("search.words", {"subject": "' & | ! <-> :*"}),
        ("search.words", {"subject": " ".join(f"w{n}" for n in range(17))}),
        ("search.choice", {"type": "XX"}),
        ("search.choice", {"status": "lost"}),
        ("search.choice", {"kind": "'; DROP TABLE events; --"}),
        ("search.range", {"urgency": 5}),
        ("search.range", {"late_h": -1}),
        ("search.range", {"since_ms": 2**63}),
        ("search.range", {"issued_since": 10**9}),
    ],
)
def test_what_cannot_be_asked_is_refused_by_code(code: str, asked: dict[str, object]) -> None:
    with pytest.raises(Rejected) as caught:
        Query(**asked)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_cursor_goes_on_with_its_own_search_only() -> None:
    query = Query(subject="nghị quyết")
    cursor = encode(query, NOW_MS, KEY)
    assert decode(query, cursor) == (NOW_MS, KEY)
    with pytest.raises(Rejected, match=r"cursor.invalid"):
        decode(Query(subject="nghi quyet"), cursor)


def test_a_damaged_or_invented_cursor_is_refused() -> None:
    query = Query()
    cursor = encode(query, NOW_MS, KEY)
    damaged = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(len(cursor) - 4)]
    for text in (*damaged, cursor[:-4], cursor + "AAAA", "", "%%%", "é" * 40, "A" * 4_000):
        with pytest.raises(Rejected, match=r"cursor.invalid"):
            decode(query, text)


@pytest.mark.parametrize(
    "place",
    [
        b"[]",
        b"{}",
        b"[1,2,3,4,5]",
        b'[1,2,"a\\u0000",4,5]',
        b'[1,1e999,"a",4,5]',
        b'[1,99999999999999999999,"a",4,5]',
        b"[" * 200,
    ],
)
def test_a_cursor_that_is_forged_with_its_check_is_refused_too(place: bytes) -> None:
    forged = base64.urlsafe_b64encode(cursors._check(Query(), place) + place).decode()
    with pytest.raises(Rejected, match=r"cursor.invalid"):
        decode(Query(), forged)


def directory(*agencies: tuple[str, str | None]) -> DirectoryView:
    found = Directory()
    entries = [
        Agency(code, 1, code, Level.PROVINCE, "province", parent, (), date(2020, 1, 1), None, ())
        for code, parent in agencies
    ]
    found.apply(0, entries)
    return found.latest()


TREE = (("G00", None), ("H26", "G00"), ("H26.21", "H26"), ("H26.21.01", "H26.21"), ("H260", "G00"), ("H29", "G00"))


def test_a_tree_that_is_all_of_its_numbers_is_one_part() -> None:
    view = directory(*TREE)
    assert below.tree(view, "H26") == (Part("H26", is_tree=True),)
    assert below.agency(view, "H26") == (Part("H26"),)
    assert below.tree(view, "G00") is None, "everyone"


def test_a_tree_is_the_directorys_and_not_the_codes() -> None:
    moved = directory(*TREE, ("H26.22", "H29"), ("A1", "H26"), ("H26.22.01", "H29"))
    assert below.tree(moved, "H26") == (Part("A1", is_tree=True), Part("H26"), Part("H26.21", is_tree=True))
    assert below.tree(moved, "H29") == (Part("H26.22", is_tree=True), Part("H29", is_tree=True))


def test_an_unknown_agency_is_refused() -> None:
    with pytest.raises(Rejected, match=r"agency.unknown"):
        below.tree(directory(*TREE), "' OR 1=1")
