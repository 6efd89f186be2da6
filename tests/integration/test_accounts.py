"""Accounts on the real PostgreSQL and Kafka: logging in, guessing, sessions, and the command."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from argon2 import PasswordHasher
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from exchange.accounts.administering import Administering
from exchange.accounts.logins import FREE_FAILURES, LOCK_MS, LOCK_MS_MAX, SOURCE_PER_MINUTE, Logins
from exchange.accounts.passwords import Passwords
from exchange.accounts.permissions import Permission, rights_of
from exchange.accounts.sessions import IDLE_MS, LONGEST_MS, Begun
from exchange.accounts.store import AccountStore
from exchange.agencies import Directory
from exchange.backbone.actions import Actions, read_actions
from exchange.backbone.clients import Config, connection
from exchange.cli.app import app
from exchange.errors import Rejected, Unavailable
from exchange.local.services import Services
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

GOOD, OTHER = "mật khẩu rất dài 42", "một mật khẩu khác 43"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NOBODYS = Directory().latest()


class Desk:
    """Everything that lets people in, with a clock of its own, in a schema and a topic of this test alone."""

    def __init__(self, database_url: str, base: Config, topic: str, schema: str) -> None:
        self.now_ms = 1_700_000_000_000
        self.base, self.topic, self.schema = base, topic, schema
        self.store = AccountStore(database_url, schema)
        self.store.prepare()
        passwords = Passwords(CHEAP)
        self.logins = Logins(self.store, Actions(base, topic), passwords, lambda: self.now_ms)
        self.administering = Administering(self.store, Actions(base, topic), passwords, lambda: self.now_ms)
        self._sources = 0

    def login(self, name: str, password: str, source: str | None = None) -> Begun:
        """From a new address each time, unless one is given."""
        self._sources += 1
        return self.logins.login(name, password, source or f"10.0.{self._sources // 250}.{self._sources % 250}")

    def refusal(self, name: str, password: str, source: str | None = None) -> str:
        """Why somebody isn't let in; empty if they are."""
        return _try(lambda: self.login(name, password, source))

    def is_over(self, token: str) -> bool:
        return _try(lambda: self.logins.sessions.open(token)) == "session.over"

    def done(self) -> list[tuple[str, str]]:
        """What was recorded: what, and by whom."""
        return [(action.what, action.by) for _, action in read_actions(self.base, self.topic)]


@pytest.fixture
def desk(services: Services) -> Iterator[Desk]:
    unique = uuid.uuid4().hex[:12]
    base, topic, schema = connection(services.bootstrap_servers), f"actions.{unique}", f"accounts_{unique}"
    admin = AdminClient(base)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    made = Desk(services.database_url, base, topic, schema)
    made.administering.add("an", "Nông Thị An", "Bình", password=GOOD)
    yield made
    with psycopg.connect(services.database_url, autocommit=True) as database:
        database.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(schema)))


class TestLoggingIn:
    def test_in_and_out(self, desk: Desk) -> None:
        begun = desk.login(" AN ", GOOD)
        assert (begun.session.user, begun.session.full_name) == ("an", "Nông Thị An")
        assert desk.logins.sessions.open(begun.token) == begun.session
        assert desk.login("an", GOOD).token != begun.token
        desk.logins.logout(begun.token)
        desk.logins.logout(begun.token)
        assert desk.is_over(begun.token)
        assert desk.done() == [("account.add", "Bình"), ("account.login", "an"), ("account.login", "an"),
                               ("account.logout", "an")]  # fmt: skip

    def test_looking_whether_it_is_over_keeps_no_session_alive(self, desk: Desk) -> None:
        looked_at, used = desk.login("an", GOOD).token, desk.login("an", GOOD).token
        for _ in range(2):
            desk.now_ms += IDLE_MS // 2 + 1
            assert not desk.is_over(used)
            _try(lambda: desk.logins.sessions.open(looked_at, is_used=False))
        assert desk.is_over(looked_at)

    def test_the_refusal_tells_nothing(self, desk: Desk) -> None:
        desk.administering.add("khoa", "Khoa", "Bình", password=GOOD)
        desk.administering.close("khoa", "Bình", NOBODYS)
        desk.administering.add("xa", "Xa", "Bình", openid=("https://id.example", "xa"))
        for name, password in (
            ("an", OTHER), ("nobody", GOOD), ("khoa", GOOD), ("xa", GOOD), ("xa", ""), ("\x00", GOOD), ("\ud800", GOOD),
        ):  # fmt: skip
            assert desk.refusal(name, password) == "login.refused", name

    def test_nothing_secret_is_kept_in_clear(self, desk: Desk, services: Services) -> None:
        begun = desk.login("an", GOOD)
        with psycopg.connect(services.database_url) as database:
            rows = [
                str(row)
                for table in ("accounts", "sessions", "attempts")
                for row in database.execute(SQL("SELECT * FROM {}").format(Identifier(desk.schema, table)))
            ]
        recorded = [repr(action) for _, action in read_actions(desk.base, desk.topic)]
        for secret in (GOOD, begun.token, begun.session.csrf):
            assert not any(secret in text for text in rows + recorded)

    def test_nobody_is_let_in_unrecorded(self, desk: Desk) -> None:
        desk.logins._actions = Actions(desk.base, f"{desk.topic}.absent")
        with pytest.raises(Unavailable):
            desk.login("an", GOOD)

    def test_a_hash_by_older_parameters_is_renewed(self, desk: Desk) -> None:
        before = desk.store.account("an")
        desk.logins._passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
        desk.login("an", GOOD)
        after = desk.store.account("an")
        assert before is not None
        assert after is not None
        assert before.password != after.password
        desk.login("an", GOOD)
        assert desk.store.account("an") == after


class TestGuessing:
    @pytest.mark.parametrize("name", ["an", "nobody"])
    def test_locked_for_longer_and_longer(self, desk: Desk, name: str) -> None:
        assert [desk.refusal(name, OTHER) for _ in range(FREE_FAILURES)] == ["login.refused"] * FREE_FAILURES
        for lock_ms in (LOCK_MS, 2 * LOCK_MS, 4 * LOCK_MS):
            assert desk.refusal(name, GOOD) == "login.locked"  # not even by the right one
            desk.now_ms += lock_ms - 1
            assert desk.refusal(name, OTHER) == "login.locked"
            desk.now_ms += 1
            assert desk.refusal(name, OTHER) == "login.refused"
        for _ in range(12):
            desk.now_ms += LOCK_MS_MAX
            assert desk.refusal(name, OTHER) == "login.refused"
        locked = [one for one in desk.done() if one[0] == "account.locked"]
        assert bool(locked) == (name == "an")
        assert {by for _, by in locked} <= {"an"}

    def test_the_right_one_forgives(self, desk: Desk) -> None:
        for _ in range(3):
            assert [desk.refusal("an", OTHER) for _ in range(FREE_FAILURES - 1)] == ["login.refused"] * 4
            assert desk.refusal("an", GOOD) == ""

    def test_many_guesses_at_a_time_are_no_more_than_one_after_the_other(self, desk: Desk) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: desk.refusal("an", OTHER, f"10.9.0.{number}"), range(24)))
        assert answers.count("login.refused") == FREE_FAILURES
        assert answers.count("login.locked") == 24 - FREE_FAILURES

    def test_one_source_is_slowed_down_over_all_names(self, desk: Desk) -> None:
        answers = [desk.refusal(f"guess{number}", OTHER, "203.0.113.9") for number in range(SOURCE_PER_MINUTE + 5)]
        assert answers.count("login.too_fast") == 5
        assert desk.refusal("an", GOOD, "198.51.100.1") == ""
        desk.now_ms += 60_000
        assert desk.refusal("an", GOOD, "203.0.113.9") == ""

    def test_an_unknown_name_takes_as_long(self, desk: Desk) -> None:
        """As many hashes, that is; the clock of a busy machine proves nothing."""
        verified: list[str | None] = []
        inner = desk.logins._passwords

        class Counting(Passwords):
            def verify(self, kept: str | None, password: str) -> bool:
                verified.append(kept)
                return inner.verify(kept, password)

        desk.logins._passwords = Counting(CHEAP)
        for name in ("an", "nobody"):
            desk.refusal(name, OTHER)
        assert len(verified) == 2


class TestSessions:
    def test_idle(self, desk: Desk) -> None:
        used, unused = desk.login("an", GOOD).token, desk.login("an", GOOD).token
        desk.now_ms += IDLE_MS - 1
        assert not desk.is_over(used)
        desk.now_ms += 1
        assert desk.is_over(unused)
        assert not desk.is_over(used)

    def test_never_longer_than_that(self, desk: Desk) -> None:
        token, began_ms = desk.login("an", GOOD).token, desk.now_ms
        while desk.now_ms < began_ms + LONGEST_MS:
            assert not desk.is_over(token)
            desk.now_ms += IDLE_MS // 2
        assert desk.is_over(token)

    def test_a_new_password_or_a_closed_account_ends_them(self, desk: Desk) -> None:
        token = desk.login("an", GOOD).token
        desk.administering.set_password("an", OTHER, "Bình", NOBODYS)
        assert desk.is_over(token)
        assert desk.refusal("an", GOOD) == "login.refused"
        token = desk.login("an", OTHER).token
        desk.administering.close("an", "Bình", NOBODYS)
        assert desk.is_over(token)
        assert desk.refusal("an", OTHER) == "login.refused"

    @pytest.mark.parametrize("token", ["", "x", "x" * 10_000, "ấ", "' OR 1=1 --"])
    def test_what_never_was_one(self, desk: Desk, token: str) -> None:
        assert desk.is_over(token)

    def test_a_stolen_copy_of_the_table_is_no_token(self, desk: Desk, services: Services) -> None:
        desk.login("an", GOOD)
        with psycopg.connect(services.database_url) as database:
            row = database.execute(SQL("SELECT token FROM {}").format(Identifier(desk.schema, "sessions"))).fetchone()
        assert row is not None
        assert desk.is_over(row[0].hex())


class TestAccounts:
    def test_a_name_is_given_once(self, desk: Desk) -> None:
        desk.administering.close("an", "Bình", NOBODYS)
        for name in ("an", "AN"):
            with pytest.raises(Rejected, match=r"account\.exists"):
                desk.administering.add(name, "Someone else", "Bình", password=GOOD)
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: _try(lambda: desk.store.add("ba", "Ba", 1)), range(4)))
        assert made.count("") == 1
        assert made.count("account.exists") == 3

    def test_either_way_of_logging_in(self, desk: Desk) -> None:
        for password, openid in ((None, None), (GOOD, ("https://id.example", "x"))):
            with pytest.raises(Rejected, match=r"account\.login"):
                desk.administering.add("ba", "Ba", "Bình", password=password, openid=openid)
        desk.administering.add("ba", "Ba", "Bình", openid=("https://id.example", "x"))
        found = desk.store.account_of("https://id.example", "x")
        assert found is not None
        assert found.name == "ba"

    def test_whom_a_provider_vouches_for(self, desk: Desk) -> None:
        desk.administering.add("ba", "Ba", "Bình", openid=("https://id.example", "x"))
        begun = desk.logins.admit("https://id.example", "x", "10.0.0.1")
        assert (begun.session.user, begun.session.method) == ("ba", "openid")
        assert desk.logins.sessions.open(begun.token) == begun.session
        for issuer, subject in (("https://id.example", "y"), ("https://evil.example", "x")):
            with pytest.raises(Rejected, match=r"login\.refused"):
                desk.logins.admit(issuer, subject, "10.0.0.1")
        desk.administering.close("ba", "Bình", NOBODYS)
        assert _try(lambda: desk.logins.admit("https://id.example", "x", "10.0.0.1")) == "login.refused"
        assert desk.is_over(begun.token)
        assert ("account.login", "ba") in desk.done()


def _try(act: Callable[[], object]) -> str:
    """The code that it is refused by; empty if it isn't."""
    try:
        act()
    except Rejected as exc:
        return exc.code
    return ""


def test_by_command(exchange: Exchange) -> None:
    user = f"an.{uuid.uuid4().hex[:8]}"

    def run(*command: str, given: str | None = None) -> tuple[int, str]:
        arguments = ["--home", str(exchange.world.home.folder), "user", *command]
        done = CliRunner().invoke(app, arguments, input=given)
        return done.exit_code, done.output

    assert run("add", user, "--name", "Nông Thị An", "--by", "Bình", given=f"{GOOD}\n")[0] == 0
    assert run("grant", user, "auditor", "--for", "H26", "--reason", "kế hoạch 7", "--by", "Bình")[0] == 0
    assert run("grant", user, "king", "--reason", "x")[0] == 2
    [listed] = [one for one in json.loads(run("list", "--json")[1]) if one["name"] == user]
    assert [(one["role"], one["scope"], one["by"]) for one in listed["grants"]] == [("auditor", "H26", "Bình")]

    began = time.monotonic()
    exchange.world.directory_log.catch_up()
    rights = rights_of(exchange.view, user)
    assert rights.may(Permission.SEE_DOCUMENTS, "H26")
    assert not rights.may(Permission.SEE_DOCUMENTS, "H29")
    assert time.monotonic() - began < 5

    store = AccountStore(exchange.world.database_url)
    begun = Logins(store, Actions(exchange.world.base), Passwords()).login(user, GOOD, "127.0.0.1")
    assert begun.session.rights(exchange.view).may(Permission.SEE_DOCUMENTS, "H26")
    assert run("revoke", user, "auditor", "--for", "H26", "--reason", "x", "--by", "Bình")[0] == 0
    exchange.world.directory_log.catch_up()
    assert not begun.session.rights(exchange.view).may(Permission.SEE_DOCUMENTS, "H26")
    assert run("close", user, "--by", "Bình")[0] == 0
    arguments = ["--home", str(exchange.world.home.folder), "actions", "--by", "Bình", "--limit", "1000", "--json"]
    shown = json.loads(CliRunner().invoke(app, arguments).output)
    about = [(one["what"], one["by"]) for one in shown if one["about"].get("user") == user]
    assert about == [("account.add", "Bình"), ("account.close", "Bình")]
