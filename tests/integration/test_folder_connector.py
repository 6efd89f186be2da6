"""The folder connector against a real gateway and exchange: files in, files out, and killed at every step."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.folder.connector import FolderConnector
from connectors.folder.limits import Limits
from connectors.shared.arrivals import FILES, STATEMENT
from connectors.shared.figures import Figures
from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.cli.app import app
from exchange.errors import Unavailable
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from tests.support.gateways import Served, free_port, serving
from tests.support.killed import killed
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

SETTLE_S = 60.0
NOW = Limits(quiet_s=0)


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 14)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 14)


@pytest.fixture
def out(served: Served, sender: Member, tmp_path: Path) -> Iterator[FolderConnector]:
    with Agency(sender.agency.code, sender.key, served.url, folder=tmp_path / "out-agency") as agency:
        list(agency.inbox())
        connector = FolderConnector(agency, tmp_path / "out", Figures("folder"), NOW)
        yield connector
        connector.close()


@pytest.fixture
def into(served: Served, recipient: Member, tmp_path: Path) -> Iterator[FolderConnector]:
    with Agency(recipient.agency.code, recipient.key, served.url, folder=tmp_path / "into-agency") as agency:
        list(agency.inbox())
        connector = FolderConnector(agency, tmp_path / "into", Figures("folder"), NOW)
        yield connector
        connector.close()


def statements(folder: Path) -> list[dict[str, Any]]:
    """What lies in a folder of arrivals."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(f"*/{STATEMENT}"))]


def placed(connector: FolderConnector, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first statement of that kind, once it lies there."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        connector.turn()
        found.extend(one for one in statements(connector.root / "in") if wanted(one))
        return bool(found)

    assert wait_until(look, SETTLE_S)
    return found[0]


def dead(connector: FolderConnector) -> list[str]:
    return [why["code"] for _, why in connector.dead_letters.listed()]


def test_a_file_dropped_lies_there_at_the_other_side(out: FolderConnector, into: FolderConnector) -> None:
    (out.out / f"{into.agency.code}__Kế hoạch năm 2026.txt").write_text("Điều 1", "utf-8")
    out.turn()
    [sent] = [path for path in out.sent.iterdir() if path.is_dir()]
    assert list(out.out.iterdir()) == []
    plan = json.loads((sent / "plan.json").read_text("utf-8"))
    assert json.loads((sent / "handed.json").read_text("utf-8"))["topic"] == "documents"
    got = placed(into, lambda one: one["fields"]["id"] == plan["id"])
    assert (got["fields"]["subject"], got["fields"]["sender"]) == ("Kế hoạch năm 2026", out.agency.code)
    [folder] = [path.parent for path in (into.root / "in").glob(f"*/{STATEMENT}") if plan["id"] in path.read_text()]
    [file] = (folder / FILES).iterdir()
    assert file.read_text("utf-8") == "Điều 1"
    arrived = placed(out, lambda one: one["kind"] == "status")
    assert (arrived["fields"]["document"]["id"], arrived["fields"]["code"]) == (plan["id"], 1)

    (into.out / "no.send.json").write_text(json.dumps({"status": 2, "about": folder.name, "reason": "Gửi nhầm"}))
    into.turn()
    refused = placed(out, lambda one: one["kind"] == "status" and one["fields"]["code"] == 2)
    assert refused["fields"]["reason"] == "Gửi nhầm"
    assert dead(into) == dead(out) == []


def test_a_sidecar_with_two_files(out: FolderConnector, into: FolderConnector) -> None:
    for name in ("tờ trình.txt", "phụ lục.txt"):
        (out.out / name).write_text(name, "utf-8")
    said = {"to": [into.agency.code], "subject": "Tờ trình", "files": ["tờ trình.txt", "phụ lục.txt"], "type": "TTr"}
    (out.out / "x.send.json").write_text(json.dumps(said), "utf-8")
    out.turn()
    got = placed(into, lambda one: one["fields"]["subject"] == "Tờ trình")
    assert [one["name"] for one in got["fields"]["attachments"]] == said["files"]
    assert got["fields"]["type"] == "TTr"


def test_what_was_encrypted_lies_there_decrypted_or_is_a_dead_letter(
    served: Served, exchange: Exchange, recipient: Member, out: FolderConnector, into: FolderConnector, tmp_path: Path
) -> None:
    """`into` has no key for it; the connector of the same agency beside it has."""
    code, home = recipient.agency.code, exchange.world.home
    done = CliRunner().invoke(app, ["--home", str(home.folder), "keys", "create", code, "--encryption"])
    assert done.exit_code == 0, done.output
    exchange.world.directory_log.catch_up()
    offset = exchange.world.directory_log.directory.next_offset
    assert wait_until(lambda: served.gateway.directory.view.offset >= offset, SETTLE_S)
    (tmp_path / "kín.txt").write_text("chỉ nơi nhận đọc được", "utf-8")
    published = out.agency.publish([tmp_path / "kín.txt"], [code], "Thư", content="Kính gửi", encrypt=True)
    with Agency(code, home.keys / "agencies" / code, served.url, folder=tmp_path / "reader") as agency:
        connector = FolderConnector(agency, tmp_path / "read", Figures("folder"), NOW)
        got = placed(connector, lambda one: one["fields"]["id"] == published.id)
        connector.close()
    assert (got["text"], got["is_confidential"], got["fields"]["content"]) == ("Kính gửi", True, "")
    [listed] = got["files"]
    assert (listed["name"], listed["file"]) == ("kín.txt", "kín.txt")
    [file] = (tmp_path / "read" / "in").glob("*/files/kín.txt")
    assert file.read_text("utf-8") == "chỉ nơi nhận đọc được"
    assert wait_until(lambda: "encryption.not_for_us" in dead(into) or into.turn(), SETTLE_S)
    assert dead(into) == ["encryption.not_for_us"]


def test_what_is_bad_is_a_dead_letter_and_holds_nothing_up(out: FolderConnector, into: FolderConnector) -> None:
    secret = out.root / "secret"
    secret.write_text("not to be sent")
    (out.out / f"{into.agency.code}__a.txt").symlink_to(secret)
    (out.out / "H99.NOBODY__b.txt").write_text("b")
    (out.out / f"{into.agency.code}__c.txt.send.json").write_text('{"to": ["H41"], "subject": "x", "files": []')
    said = {"to": [into.agency.code], "subject": "x", "type": "??", "files": []}
    (out.out / "d.send.json").write_text(json.dumps(said))
    (out.out / f"{into.agency.code}__tốt.txt").write_text("good")
    out.turn()
    assert sorted(dead(out)) == [
        "document.type_unknown", "folder.sidecar_unreadable", "folder.symlink", "recipient.unknown"
    ]  # fmt: skip
    assert placed(into, lambda one: one["fields"]["subject"] == "tốt")
    assert list(out.out.iterdir()) == []
    [link] = list(out.dead_letters.folder.rglob("*__a.txt"))
    assert link.is_symlink(), "the link itself was moved"


def test_while_the_exchange_is_away_it_waits_in_its_order(
    served: Served, exchange: Exchange, sender: Member, into: FolderConnector, tmp_path: Path
) -> None:
    port = free_port()
    with Agency(
        sender.agency.code, sender.key, f"http://127.0.0.1:{port}", folder=tmp_path / "a", patience_s=0.5
    ) as agency:
        connector = FolderConnector(agency, tmp_path / "away", Figures("folder"), NOW)
        for number in range(3):
            (connector.out / f"{into.agency.code}__Chờ {number}.txt").write_text("x")
        for _ in range(2):
            with pytest.raises(Unavailable):
                connector.turn()
        assert agency.waiting == 1
        assert len(list(connector.out.iterdir())) == 2
        with serving(exchange.world, port=port):
            connector.turn()
        assert list(connector.out.iterdir()) == []
        assert len(list(connector.sent.iterdir())) == 3
        connector.close()
    assert placed(into, lambda one: one["fields"]["subject"] == "Chờ 2")
    subjects = [
        one["fields"]["subject"] for one in sorted(statements(into.root / "in"), key=lambda one: one["inbox_ms"])
    ]
    assert sorted(one for one in subjects if one.startswith("Chờ")) == ["Chờ 0", "Chờ 1", "Chờ 2"]


def test_killed_before_every_step_of_sending(
    served: Served, exchange: Exchange, sender: Member, into: FolderConnector, tmp_path: Path
) -> None:
    """Nothing is sent twice, nothing is lost: a file a step, killed before it, then a turn to its end."""
    root, kill_at, done = tmp_path / "killed", 0, False
    (root / "out").mkdir(parents=True)
    key = exchange.world.home.keys / "agencies" / sender.agency.code
    with killed(
        "tests.support.folder_turn", code=sender.agency.code, key=str(key), gateway=served.url, root=str(root)
    ) as folder:
        assert folder.turn()  # what is in the inbox already
        while not done:
            kill_at += 1
            (root / "out" / f"{into.agency.code}__Bước {kill_at}.txt").write_text("x")
            done = folder.turn(kill_at)
            assert folder.turn()
    assert kill_at > 20
    assert list((root / "out").iterdir()) == list((root / ".work" / "jobs").iterdir()) == []
    assert len(list((root / "sent").iterdir())) == kill_at
    assert placed(into, lambda one: one["fields"]["subject"] == f"Bước {kill_at}")
    subjects = [one["fields"]["subject"] for one in statements(into.root / "in") if one["kind"] == "document"]
    assert sorted(one for one in subjects if one.startswith("Bước")) == sorted(
        f"Bước {number}" for number in range(1, kill_at + 1)
    )


def test_killed_before_every_step_of_placing(
    served: Served, exchange: Exchange, recipient: Member, out: FolderConnector, tmp_path: Path
) -> None:
    """Each item is placed once, also where the reader has taken it away before the connector came up again."""
    root, seen = tmp_path / "killed", tmp_path / "seen"
    seen.mkdir()
    key = exchange.world.home.keys / "agencies" / recipient.agency.code

    def take_away() -> None:
        for path in (root / "in").iterdir():
            shutil.move(path, seen / f"{len(list(seen.iterdir()))}-{path.name}")

    with killed(
        "tests.support.folder_turn", code=recipient.agency.code, key=str(key), gateway=served.url, root=str(root)
    ) as folder:
        assert folder.turn()
        shutil.rmtree(root / "in")
        (root / "in").mkdir()
        file = tmp_path / "x.txt"
        file.write_text("x")
        subjects = [f"Nhận {number}" for number in range(4)]
        out.agency.publish_batch([([file], [recipient.agency.code], subject) for subject in subjects])
        assert wait_until(lambda: recipient_sees(served, recipient, tmp_path, subjects), SETTLE_S)
        kill_at = 0
        while True:
            kill_at += 1
            if folder.turn(kill_at):
                break
            take_away()
        take_away()
    found = [one["fields"]["subject"] for one in statements(seen) if one["kind"] == "document"]
    assert sorted(one for one in found if one.startswith("Nhận")) == subjects
    assert kill_at > 10


def recipient_sees(served: Served, recipient: Member, folder: Path, subjects: list[str]) -> bool:
    with Agency(recipient.agency.code, recipient.key, served.url, folder=folder / "peek") as agency:
        return set(subjects) <= {one.fields.get("subject", "") for one in agency.inbox(kinds=["document"])}


def test_the_command_takes_a_file_at_once_and_ends_when_told(
    served: Served, exchange: Exchange, sender: Member, into: FolderConnector, tmp_path: Path
) -> None:
    root, code = tmp_path / "served", sender.agency.code
    metrics = tmp_path / "folder.prom"
    command = [
        sys.executable, "-m", "exchange", "folder", "serve", "--agency", code, "--root", str(root),
        "--key", str(exchange.world.home.keys / "agencies" / code), "--gateway", served.url, "--metrics", str(metrics),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert wait_until(metrics.exists, SETTLE_S)
        draft = root / "out" / "draft.part"
        draft.write_text("x")
        draft.rename(root / "out" / f"{into.agency.code}__Tự động.txt")
        assert wait_until(lambda: len(list((root / "sent").iterdir())) == 1, SETTLE_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
    assert 'exchange_folder_items_total{direction="out",outcome="sent"} 1.0' in metrics.read_text()
    assert placed(into, lambda one: one["fields"]["subject"] == "Tự động")
