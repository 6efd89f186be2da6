"""Accounts without a database: names, passwords, grants, tokens against CSRF."""

from __future__ import annotations

from datetime import date

import pytest
from argon2 import PasswordHasher

from exchange.accounts.granting import check
from exchange.accounts.naming import checked_user
from exchange.accounts.passwords import CHARACTERS_MAX, Passwords
from exchange.accounts.permissions import Permission, rights_of
from exchange.accounts.sessions import Session, csrf_of
from exchange.agencies import Agency, Directory, DirectoryView, Grant, Level, RoleName
from exchange.errors import InvariantBroken, Rejected
from exchange.statements import identify
from exchange.statements.directory import directory_statement, entries_of

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = "mật khẩu rất dài 42"


def view_of(*grants: Grant) -> DirectoryView:
    made = Directory()
    parents = {"G00": None, "H01": "G00", "H02": "G00", "H01.01": "H01"}
    made.apply(
        0,
        [
            Agency(code, 1, code, Level.PROVINCE, "unit", parent, (), date(2020, 1, 1), None, ())
            for code, parent in parents.items()
        ],
    )
    made.apply(1, list(grants))
    return made.latest()


def granted(user: str, role: RoleName, scope: str, version: int = 1, *, is_granted: bool = True) -> Grant:
    return Grant(user, role, scope, version, is_granted, "vì thế", "Bình")


class TestNames:
    @pytest.mark.parametrize("name", ["an", " An.Nong ", "an_1@bo.gov.vn", "a-b"])
    def test_good(self, name: str) -> None:
        assert checked_user(name) == name.strip().lower()

    @pytest.mark.parametrize("name", ["", "1an", "an..b", "a b", "ân", "an\nb", "a" * 81, ".an", "an-", "аn"])
    def test_bad(self, name: str) -> None:
        with pytest.raises(Rejected, match=r"account\.name"):
            checked_user(name)


class TestPasswords:
    @pytest.fixture
    def passwords(self) -> Passwords:
        return Passwords(CHEAP)

    def test_only_the_right_one(self, passwords: Passwords) -> None:
        kept = passwords.hash(GOOD, "an")
        assert GOOD not in kept
        assert kept.startswith("$argon2id$")
        assert passwords.verify(kept, GOOD)
        assert not passwords.verify(kept, GOOD + " ")
        assert passwords.hash(GOOD, "an") != kept  # a salt each

    def test_nobody_has_no_password_at_all(self, passwords: Passwords) -> None:
        assert not passwords.verify(None, "nobody has this password")
        assert not passwords.verify(None, "")

    def test_one_spelling_of_what_looks_the_same(self, passwords: Passwords) -> None:
        assert passwords.verify(passwords.hash("mâ\u0323t khâ\u0309u râ\u0301t dài", "an"), "mật khẩu rất dài")

    @pytest.mark.parametrize("weak", ["", "short", "x" * 40, "an.nong is my name", "y" * (CHARACTERS_MAX + 1)])
    def test_weak_ones(self, passwords: Passwords, weak: str) -> None:
        with pytest.raises(Rejected, match=r"password\.weak"):
            passwords.hash(weak, "an.nong")

    def test_a_longer_one_is_never_the_same(self, passwords: Passwords) -> None:
        long = "".join(chr(97 + number % 26) for number in range(CHARACTERS_MAX))
        kept = passwords.hash(long, "zz9")
        assert passwords.verify(kept, long)
        assert not passwords.verify(kept, long + "x")
        assert not passwords.verify(kept, long * 10_000)

    def test_older_parameters_are_seen(self, passwords: Passwords) -> None:
        kept = passwords.hash(GOOD, "an")
        newer = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
        assert newer.is_outdated(kept)
        assert newer.verify(kept, GOOD)
        assert not newer.is_outdated(newer.again(GOOD))

    def test_a_spoilt_hash_is_our_bug(self, passwords: Passwords) -> None:
        with pytest.raises(InvariantBroken):
            passwords.verify("$argon2id$spoilt", GOOD)


class TestGrants:
    def test_signed_and_read_like_any_entry(self) -> None:
        entries = [granted("an", "auditor", "H01"), granted("an", "auditor", "H01", 2, is_granted=False)]
        raw = directory_statement("1", "G00.REGISTRY", 1, entries)
        assert entries_of(identify(raw).decode(raw)) == entries
        assert entries[0].key == "grant:an/auditor/H01"

    def test_revoked_and_granted_again(self) -> None:
        entries = [granted("an", "viewer", "H01"), granted("an", "viewer", "H01", 2, is_granted=False)]
        assert not rights_of(view_of(*entries), "an").may(Permission.SEE_NUMBERS, "H01")
        again = view_of(*entries, granted("an", "viewer", "H01", 3))
        assert rights_of(again, "an").may(Permission.SEE_NUMBERS, "H01.01")
        assert not rights_of(again, "an").may(Permission.SEE_NUMBERS, "G00")
        assert again.grants("an") == [granted("an", "viewer", "H01", 3)]

    @pytest.mark.parametrize(
        ("held", "wanted", "code"),
        [
            ([], granted("binh", "viewer", "H02"), "permission.missing"),
            ([], granted("an", "viewer", "H01"), "grant.own"),
            ([granted("binh", "administrator", "H02")], granted("binh", "auditor", "H01"), "grant.apart"),
            ([granted("binh", "auditor", "H02")], granted("binh", "administrator", "H01"), "grant.apart"),
            ([granted("binh", "viewer", "H01")], granted("binh", "viewer", "H01"), "grant.standing"),
            ([], granted("binh", "viewer", "H01", is_granted=False), "grant.not_standing"),
            ([], granted("binh", "king", "H01"), "grant.role"),  # type: ignore[arg-type]
        ],
    )
    def test_what_may_not_be_said(self, held: list[Grant], wanted: Grant, code: str) -> None:
        view = view_of(granted("an", "administrator", "H01"), *held)
        with pytest.raises(Rejected) as refused:
            check(view, wanted, rights_of(view, "an"))
        assert refused.value.code == code

    def test_what_may(self) -> None:
        view = view_of(granted("an", "administrator", "H01"), granted("binh", "auditor", "H01.01"))
        check(view, granted("binh", "operator", "H01.01"), rights_of(view, "an"))
        check(view, granted("binh", "auditor", "H01.01", is_granted=False), rights_of(view, "an"))
        check(view, granted("an", "viewer", "H02"), None)  # whoever holds the registrar's key

    def test_require(self) -> None:
        rights = rights_of(view_of(granted("an", "operator", "H01")), "an")
        rights.require(Permission.ACT, "H01.01")
        for permission, agency in ((Permission.ACT, "H02"), (Permission.SEE_DOCUMENTS, "H01")):
            with pytest.raises(Rejected, match=r"permission\.missing"):
                rights.require(permission, agency)
        assert rights.roles == {"operator"}


def test_tokens_against_csrf_are_their_sessions_own() -> None:
    mine, other = csrf_of("token-a"), csrf_of("token-b")
    session = Session("an", "An", "password", 1, mine)
    session.require_csrf(mine)
    for given in (other, "", mine[:-1], "ấ"):
        with pytest.raises(Rejected, match=r"session\.csrf"):
            session.require_csrf(given)
    assert mine not in repr(session)
    assert "token-a" not in mine
