"""A home is destroyed, in whole or in part, and brought back from a backup: what is there again, and what is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.agencies import Level
from exchange.auditor import audit
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_hop
from exchange.cli.app import app
from exchange.cli.ledger import folder_of, key_of
from exchange.cli.world import World
from exchange.errors import Unavailable
from exchange.ledger.writer import LedgerWriter
from exchange.local.backup import restore
from exchange.local.home import Home
from exchange.local.services import down, up
from tests.fault.conftest import a_world
from tests.support.running import Exchange, Place
from tests.support.workers import Worker, await_owners, crew

pytestmark = pytest.mark.fault

PHRASE = "một câu rất dài để niêm phong"


@pytest.fixture
def world() -> Iterator[World]:
    """A world of its own: it is destroyed."""
    with a_world() as made:
        yield made


def run(world: World, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(world.home.folder), *words])
    return done.exit_code, done.output + (repr(done.exception) if done.exception is not None else "")


def deliver(world: World, said: int) -> list[tuple[str, Place]]:
    """Let so many documents be sent and dealt with; what became of each, and where it was submitted."""
    exchange = Exchange(world)
    member = exchange.member(Level.PROVINCE)
    recipient = exchange.member(Level.DISTRICT).agency.code
    with crew(world, Worker(world, "hop-1")):
        await_owners(world, "hop-1")
        statements = [exchange.document(member, [recipient]) for _ in range(said)]
        places = [exchange.submit("document", fields, member) for fields in statements]
        fates = exchange.fates(places)
        await_hop(world.base, GROUP, world.layout.keyed, 60)
    return [(fate.event["outcome"], place) for fate, place in zip(fates, places, strict=True)]


def test_brought_back_as_of_the_backup(world: World, tmp_path: Path) -> None:
    phrase, file = tmp_path / "phrase", tmp_path / "backup"
    phrase.write_text(PHRASE + "\n", encoding="utf-8")
    before = deliver(world, 5)
    assert {outcome for outcome, _ in before} == {"accepted"}
    assert run(world, "backup", str(file), "--passphrase-file", str(phrase))[0] != 0  # it still runs
    assert not file.exists()
    down(world.home)
    status, shown = run(world, "backup", str(file), "--passphrase-file", str(phrase))
    assert status == 0, shown

    up(world.home)
    assert len(deliver(World(world.home), 3)) == 3
    down(world.home)

    # All of it is gone.
    shutil.rmtree(world.home.folder)
    status, shown = run(world, "restore", str(file), "--passphrase-file", str(phrase))
    assert status == 0, shown
    assert (world.home.keys / "registrar.key.pem").exists() or any(world.home.keys.iterdir())
    up(world.home)
    restored = World(Home(world.home.folder))
    balance = audit(restored.base, restored.authority.registrar_public_key)
    assert balance.holds, balance.findings[:3]
    assert balance.total.records.accepted == len(before)

    # It works: what was lost is sent again and accepted, what wasn't is known.
    again = deliver(World(world.home), 2)
    assert {outcome for outcome, _ in again} == {"accepted"}
    balance = audit(restored.base, restored.authority.registrar_public_key)
    assert balance.holds
    assert balance.total.records.accepted == len(before) + len(again)


def test_the_audit_names_what_a_newer_ledger_tells_of(world: World, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    deliver(world, 3)
    down(world.home)
    status, shown = run(world, "backup", str(file), "--without-keys")
    assert status == 0, shown
    assert "THE KEYS ARE NOT IN IT" in shown
    up(world.home)
    newer = World(world.home)
    deliver(newer, 2)
    LedgerWriter(newer.base, folder_of(newer), key_of(newer)).catch_up()
    assert run(newer, "rebuild")[0] == 0
    status, shown = run(newer, "audit", "--deep")
    assert status == 0, shown
    down(world.home)

    # Kafka's disk is gone, the others aren't.
    shutil.rmtree(world.home.kafka)
    status, shown = run(world, "restore", str(file), "--json")
    assert status == 0, shown
    assert '"kafka"' in shown
    assert '"ledger"' not in shown
    up(world.home)
    status, shown = run(World(world.home), "audit", "--deep", "--json")
    assert status == 1
    assert "audit.surplus_row" in shown
    assert "the trace store has a row that nothing in the trace led to" in shown


def test_nothing_is_restored_into_what_runs(world: World, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    down(world.home)
    assert run(world, "backup", str(file), "--without-keys")[0] == 0
    up(world.home)
    with pytest.raises(Unavailable) as running:
        restore(world.home, file, None)
    assert running.value.code == "home.running"
