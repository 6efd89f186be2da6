"""The chain of a copy: every legal move moves, every illegal one is refused by its code."""

from __future__ import annotations

import pytest

from exchange.errors import Rejected
from exchange.statements.chain import (
    CHANGE_OPEN,
    TAKE_BACK_OPEN,
    UNDELIVERABLE,
    WAITING,
    WITHDRAWN,
    advance,
    ask,
)


def walk(*codes: int) -> int:
    state = WAITING
    for code in codes:
        state = advance(state, code)
    return state


@pytest.mark.parametrize(
    ("codes", "state"),
    [
        ((1,), 1),
        ((1, 2), 2),
        ((2,), 2),
        ((3,), 3),
        ((1, 3, 4, 5, 6), 6),
        ((3, 5, 6), 6),
        ((3, 6), 6),
        ((1, 1), 1),
        ((3, 1), 3),
        ((3, 5, 4), 5),
        ((1, 13), 1 | TAKE_BACK_OPEN),
        ((1, 13, 16), 1),
        ((1, 13, 15), WITHDRAWN),
        ((3, 13, 5), 5 | TAKE_BACK_OPEN),
    ],
)
def test_legal_moves(codes: tuple[int, ...], state: int) -> None:
    assert walk(*codes) == state


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((4,), "status.illegal_transition"),
        ((1, 5), "status.illegal_transition"),
        ((3, 2), "status.illegal_transition"),
        ((2, 3), "status.illegal_transition"),
        ((15,), "status.no_request"),
        ((1, 16), "status.no_request"),
        ((13, 13), "status.request_open"),
        ((2, 13), "status.illegal_transition"),
        ((13, 15, 1), "status.illegal_transition"),
        ((13, 15, 13), "status.illegal_transition"),
    ],
)
def test_illegal_moves_are_refused(codes: tuple[int, ...], code: str) -> None:
    with pytest.raises(Rejected) as refused:
        walk(*codes)
    assert refused.value.code == code


def test_an_agreed_update_returns_to_the_main_track() -> None:
    state = ask(walk(3), CHANGE_OPEN)
    assert advance(state, 15) == 3


def test_nothing_reaches_an_undeliverable_copy() -> None:
    with pytest.raises(Rejected) as refused:
        advance(UNDELIVERABLE, 1)
    assert refused.value.code == "status.illegal_transition"
