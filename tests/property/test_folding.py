"""Folding any text: once is enough, case and form don't matter, nothing grows without bound."""

from __future__ import annotations

from unicodedata import normalize

from hypothesis import given
from hypothesis import strategies as st

from exchange.views.folding import WORD_CHARACTERS_MAX, fold, words
from exchange.views.search.query import Query, where

VIETNAMESE = st.text("aăâeêioôơuưyđbcdghklmnpqrstvx ", max_size=60)


@given(st.text(max_size=200))
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(VIETNAMESE, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_case_and_form_of_vietnamese_do_not_matter(text: str, form: str) -> None:
    assert fold(normalize(form, text.upper())) == fold(text)  # type: ignore[arg-type]


@given(st.text(max_size=500))
def test_words_are_found_by_themselves(text: str) -> None:
    found = words(text)
    assert all(0 < len(word) <= WORD_CHARACTERS_MAX and words(word) == [word] for word in found)


@given(st.text(min_size=1, max_size=500).filter(str.isprintable))
def test_a_code_of_any_text_is_one_term(text: str) -> None:
    sought = where(Query(code=text), 0).values["terms"]
    assert str(sought).replace("\\\\", "").replace("''", "").count("'") in {2, 4}
