"""Rights over random trees of agencies and random histories of grants: a scope never widens."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from exchange.accounts.administering import require_over
from exchange.accounts.granting import check
from exchange.accounts.permissions import PERMISSIONS, Permission, rights_of
from exchange.agencies import Agency, Directory, DirectoryView, Grant, Level, RoleName
from exchange.errors import Rejected

CODES = [f"H{number:02d}" for number in range(12)]
USERS = ["an", "binh"]
ROLES: list[RoleName] = ["viewer", "auditor", "operator", "administrator"]

trees = st.lists(st.integers(0, 100), min_size=len(CODES) - 1, max_size=len(CODES) - 1)
"""For each agency but the first, which of those before it is above it."""
said = st.lists(
    st.tuples(st.sampled_from(USERS), st.sampled_from(ROLES), st.sampled_from(CODES), st.booleans()), max_size=12
)


def view_of(tree: list[int], entries: list[tuple[str, RoleName, str, bool]]) -> DirectoryView:
    """A directory of that tree, in which all this was said, whoever allowed it."""
    directory = Directory()
    parents = [None, *(CODES[choice % place] for place, choice in enumerate(tree, 1))]
    directory.apply(
        0,
        [
            Agency(code, 1, code, Level.PROVINCE, "unit", parent, (), date(2020, 1, 1), None, ())
            for code, parent in zip(CODES, parents, strict=True)
        ],
    )
    for offset, (user, role, scope, is_granted) in enumerate(entries, 1):
        directory.apply(offset, [Grant(user, role, scope, offset, is_granted, "why", "who")])
    return directory.latest()


def below(view: DirectoryView, top: str) -> set[str]:
    """An agency and all below it, by a way of the test's own: from the top down."""
    found, waiting = {top}, [top]
    while waiting:
        for child in view.children(waiting.pop()):
            found.add(child.code)
            waiting.append(child.code)
    return found


def standing(entries: list[tuple[str, RoleName, str, bool]], user: str) -> set[tuple[RoleName, str]]:
    """What the last word on each role and scope leaves."""
    last = {(role, scope): is_granted for who, role, scope, is_granted in entries if who == user}
    return {key for key, is_granted in last.items() if is_granted}


@given(trees, said)
def test_a_right_is_some_grants_and_reaches_no_further(
    tree: list[int], entries: list[tuple[str, RoleName, str, bool]]
) -> None:
    view = view_of(tree, entries)
    for user in USERS:
        held = standing(entries, user)
        if any(role == "administrator" for role, _ in held):
            held = {one for one in held if one[0] != "auditor"}
        rights = rights_of(view, user)
        for permission in Permission:
            reached = set[str]().union(*(below(view, scope) for role, scope in held if permission in PERMISSIONS[role]))
            assert {code for code in CODES if rights.may(permission, code)} == reached


@given(trees, said)
def test_no_order_of_words_makes_an_administrator_see_documents(
    tree: list[int], entries: list[tuple[str, RoleName, str, bool]]
) -> None:
    view = view_of(tree, entries)
    for user in USERS:
        rights = rights_of(view, user)
        assert not (rights.scopes(Permission.ADMINISTER) and rights.scopes(Permission.SEE_DOCUMENTS))


@given(trees, said, st.sampled_from(ROLES), st.sampled_from(CODES), st.booleans())
def test_nobody_grants_beyond_what_they_administer(
    tree: list[int],
    entries: list[tuple[str, RoleName, str, bool]],
    role: RoleName,
    scope: str,
    is_granted: bool,
) -> None:
    view = view_of(tree, entries)
    granter = rights_of(view, "an")
    administered = set[str]().union(*(below(view, top) for top in granter.scopes(Permission.ADMINISTER)))
    before = {permission: rights_of(view, "binh").scopes(permission) for permission in Permission}
    wanted = Grant("binh", role, scope, 99, is_granted, "why", "an")
    try:
        check(view, wanted, granter)
    except Rejected:
        return
    assert below(view, scope) <= administered
    after = rights_of(view_of(tree, [*entries, ("binh", role, scope, is_granted)]), "binh")
    for permission in Permission:
        assert after.scopes(permission) - before[permission] <= administered


@given(trees, said)
def test_whoever_gives_a_new_password_administers_all_that_it_opens(
    tree: list[int], entries: list[tuple[str, RoleName, str, bool]]
) -> None:
    view = view_of(tree, entries)
    granter, other = rights_of(view, "an"), rights_of(view, "binh")
    try:
        require_over(granter, view, "binh")
    except Rejected:
        return
    for permission in Permission:
        for code in CODES:
            assert not other.may(permission, code) or granter.may(Permission.ADMINISTER, code)


@given(trees, said, st.text(max_size=20))
def test_what_the_directory_does_not_know_is_nobodys(
    tree: list[int], entries: list[tuple[str, RoleName, str, bool]], code: str
) -> None:
    rights = rights_of(view_of(tree, entries), "an")
    assert code.strip() in CODES or not any(rights.may(permission, code) for permission in Permission)
