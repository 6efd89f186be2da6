"""The audit of the audit: nothing is shown that isn't recorded before; whoever looks next sees who looked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner

from exchange.agencies.levels import Level
from exchange.backbone.accesses import Access, Accesses
from exchange.backbone.clients import Config, connection
from exchange.cli.app import app
from exchange.errors import Unavailable
from exchange.local.services import Services
from exchange.local.waiting import wait_until
from exchange.views.accesses import AccessStore
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

DOCUMENT = ("documents", 1, 7)


@pytest.fixture
def base(services: Services) -> Config:
    return connection(services.bootstrap_servers)


@pytest.fixture
def topic(base: Config) -> str:
    name = f"accesses.{uuid.uuid4().hex[:12]}"
    admin = AdminClient(base)
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
    return name


@pytest.fixture
def store(services: Services, base: Config, topic: str) -> Iterator[AccessStore]:
    schema = topic.replace(".", "_")
    yield AccessStore(base, services.database_url, schema, topic)
    with psycopg.connect(services.database_url) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def test_who_looked_is_found_by_what_was_shown(base: Config, topic: str, store: AccessStore) -> None:
    accesses = Accesses(base, topic)
    assert store.looks_at([DOCUMENT]) == []
    export = Access("export", "lan", "Kế hoạch 7", '{"type": "CV"}')
    accesses.record(export, [("documents", 1, 6), DOCUMENT, ("statuses", 1, 7)])
    accesses.record(export, [("documents", 2, 7)])
    accesses.record(Access("search", "minh", "hồ sơ 12", "{}"), [])
    accesses.record(Access("trace", "minh", "", "d-1"), [DOCUMENT])
    looks = store.looks_at([DOCUMENT])
    assert [(look.action, look.by, look.reason, look.asked) for look in looks] == [
        ("trace", "minh", "", "d-1"),
        ("export", "lan", "Kế hoạch 7", '{"type": "CV"}'),
    ]
    assert looks[1].access == store.looks_at([("documents", 2, 7)])[0].access == export.id.hex()
    assert store.looks_at([("documents", 3, 7), ("statuses", 1, 6)]) == []
    assert store.looks_at([]) == []


def test_many_who_ask_at_once_count_each_access_once(base: Config, topic: str, store: AccessStore) -> None:
    accesses = Accesses(base, topic)
    for number in range(50):
        accesses.record(Access("trace", f"auditor {number}", "r", "d"), [DOCUMENT])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.looks_at([DOCUMENT]), range(8)))
    assert all([look.by for look in looks] == [f"auditor {n}" for n in reversed(range(50))] for looks in found)


def test_dropping_the_view_loses_nothing(services: Services, base: Config, topic: str, store: AccessStore) -> None:
    Accesses(base, topic).record(Access("trace", "lan", "r", "d"), [DOCUMENT])
    before = store.looks_at([DOCUMENT])
    with psycopg.connect(services.database_url) as database:
        database.execute(f"DROP SCHEMA {topic.replace('.', '_')} CASCADE".encode())
    assert store.looks_at([DOCUMENT]) == before != []


def test_what_cannot_be_recorded_is_told(base: Config) -> None:
    with pytest.raises(Unavailable, match=r"kafka.topic_missing"):
        Accesses(base, "no.such.topic").record(Access("search", "lan", "r", "{}"), [])


def run(exchange: Exchange, *arguments: str, code: int = 0) -> str:
    """Run a command as a process; its standard output."""
    command = [sys.executable, "-m", "exchange", "--home", str(exchange.world.home.folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "EXCHANGE_REASON"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def sent(exchange: Exchange) -> str:
    """A document's id that the trace store has."""
    sender, recipient = exchange.member(Level.PROVINCE), exchange.member(Level.CENTRAL)
    fields = exchange.document(sender, [recipient.agency.code], subject="Nghị quyết về kiểm toán 5G")
    exchange.submit("document", fields, sender)
    exchange.settle()
    store = TraceStore(exchange.world.database_url)
    assert wait_until(lambda: trace(store, fields["id"]) is not None, 30)
    id_: str = fields["id"]
    return id_


def test_search_trace_and_export_are_shown_to_whoever_looks_next(exchange: Exchange, sent: str, tmp_path: Path) -> None:
    who = ("--by", "Lan", "--reason", "Khiếu nại 17")
    page = json.loads(run(exchange, "search", "nghi", "quyet", "kiem", "toan", "5g", *who, "--json"))
    assert [one["id"] for one in page["results"]] == [sent]
    assert (page["results"][0]["copies"], page["cursor"]) == (1, None)
    file = tmp_path / "found.csv"
    assert "1 results" in run(
        exchange, "search", "--id", sent, "--export", str(file), "--by", "Minh", "--reason", "Kế hoạch"
    )
    assert sent in file.read_text(encoding="utf-8-sig")
    path = json.loads(run(exchange, "trace", sent, "--by", "Thanh tra", "--json"))
    looks = [(look["action"], look["by"], look["reason"]) for look in path["looks"]]
    assert looks == [("trace", "Thanh tra", ""), ("export", "Minh", "Kế hoạch"), ("search", "Lan", "Khiếu nại 17")]
    assert json.loads(path["looks"][2]["asked"]) == {"subject": "nghi quyet kiem toan 5g"}
    shown = run(exchange, "trace", sent, "--by", "Thanh tra", "--reason", "Lần hai")
    assert "looked at by Lan (search): Khiếu nại 17" in shown
    assert "looked at by Thanh tra (trace): no reason given" in shown


def test_a_search_asks_for_a_reason_and_tells_that_nothing_was_found(exchange: Exchange) -> None:
    assert run(exchange, "search", "xyzzy", code=2) == ""
    assert run(exchange, "search", "xyzzy", "--reason", " ", code=2) == ""
    assert "Nothing found" in run(exchange, "search", "xyzzy", "--reason", "r", code=1)
    assert run(exchange, "search", "--cursor", "AAAA", "--reason", "r", code=1) == ""
    assert run(exchange, "search", "--from", "H99999", "--reason", "r", code=1) == ""


def test_what_cannot_be_recorded_is_not_shown(
    exchange: Exchange, sent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = "no.such.topic"
    monkeypatch.setattr(Accesses.__init__, "__defaults__", (missing,))
    file = tmp_path / "found.json"
    for command in (
        ["search", "--id", sent, "--reason", "r"],
        ["search", "--id", sent, "--reason", "r", "--export", str(file)],
        ["trace", sent],
    ):
        done = CliRunner().invoke(app, ["--home", str(exchange.world.home.folder), *command])
        assert isinstance(done.exception, Unavailable)
        assert sent not in done.output + capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
