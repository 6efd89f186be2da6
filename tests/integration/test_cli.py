"""The command line as people and programs use it: examples, exit codes, files byte for byte, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from cryptography import x509
from typer.testing import CliRunner

from exchange.backbone.reading import read_to_end
from exchange.cli.app import app
from exchange.cli.ledger import key_of
from exchange.cli.world import World
from exchange.local.founding import now_ms
from exchange.local.home import Home
from exchange.local.waiting import wait_until
from exchange.statements import schemas
from tests.support import independent_verifier
from tests.support.pages import blocks
from tests.support.pages import run as run_page
from tests.support.running import Exchange

README = Path(__file__).parents[2] / "README.md"


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401  click's, as Typer brings it
    """Every command that `--help` shows, by its words."""
    parts = getattr(command, "commands", {})
    for name, part in parts.items():
        yield from commands(part, *path, name)
    if not parts and not command.hidden:
        yield path


def run(home: Path, *arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run a command as a process; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "exchange", "--home", str(home), *arguments],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def loads(text: str) -> Any:  # noqa: ANN401
    return json.loads(text)


@pytest.mark.parametrize("command", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example:" in shown.output
    assert f"exchange {command[0]}" in shown.output


def test_a_world_that_is_not_there_is_exit_code_3(tmp_path: Path) -> None:
    for command in (["trace", "x"], ["audit"], ["agency", "list"], ["status"]):
        run(tmp_path / "nowhere", *command, code=3)


def test_misuse_is_exit_code_2(exchange: Exchange, tmp_path: Path) -> None:
    home = exchange.world.home.folder
    run(home, "agency", "list", "--level", "galaxy", code=2)
    run(home, "publish", str(tmp_path / "missing.pdf"), "--from", "H26", "--to", "G22", "--subject", "x", code=2)
    run(home, "publish", str(README), "--from", "XX", "--to", "G22", "--subject", "x", code=2)


def test_no_is_exit_code_1(exchange: Exchange) -> None:
    home = exchange.world.home.folder
    run(home, "agency", "show", "H99.99", code=1)
    run(home, "trace", "no-such-id", code=1)
    run(home, "publish", str(README), "--from", "H26", "--to", "G22", "--subject", "a\x07b", code=1)


def test_only_a_record_that_waits_can_be_set_aside(exchange: Exchange, tmp_path: Path) -> None:
    home = exchange.world.home.folder
    sent = loads(run(home, "publish", str(README), "--from", "H29", "--to", "G11", "--subject", "x", "--json"))[0]
    exchange.settle()
    offset = exchange.world.directory_log.directory.next_offset
    for place, code in (
        (f"{sent['topic']}/{sent['partition']}/{sent['offset']}", 1),
        ("documents/0/999999999", 1),
        ("documents/99/0", 2),
        ("trace/0/0", 2),
        ("documents/0", 2),
    ):
        run(home, "set-aside", place, "--reason", "x", "--yes", code=code)
    run(home, "set-aside", "documents/0/999999999", "--reason", " ", code=2)
    exchange.world.directory_log.catch_up()
    assert exchange.view.offset == offset, "nothing was signed"


def test_init_is_idempotent(exchange: Exchange) -> None:
    before = exchange.view.offset
    run(exchange.world.home.folder, "init")
    exchange.world.directory_log.catch_up()
    assert exchange.view.offset == before + 1, "only a fresh revocation list"


def test_the_schemas_can_be_found_by_whoever_reads_the_logs(exchange: Exchange) -> None:
    [portion] = read_to_end(exchange.world.base, {("schemas", 0): None})
    found = {read.key: read.value.decode() for read in portion}
    assert found == {one.fingerprint.encode(): one.source for one in schemas().values()}


def test_a_file_arrives_byte_for_byte_and_its_receipt_returns(exchange: Exchange, tmp_path: Path) -> None:
    home = exchange.world.home.folder
    source = tmp_path / "Kế hoạch năm 2023.pdf"
    source.write_bytes(os.urandom(300_000))
    sent = loads(run(home, "publish", str(source), "--from", "H29", "--to", "G11", "--subject", "Kế hoạch", "--json"))
    exchange.settle()
    run(home, "inbox", "G11", "--save", str(tmp_path / "in"), "--acknowledge")
    [saved] = (tmp_path / "in").glob(f"H29_{sent[0]['id']}/*")
    assert saved.name == source.name
    assert saved.read_bytes() == source.read_bytes()
    assert "Nothing new" in run(home, "inbox", "G11")
    exchange.settle()

    def acknowledged() -> bool:
        path = loads(run(home, "trace", sent[0]["id"], "--json"))
        return bool(path["document"]["deliveries"][0]["status_code"] == 1)

    assert wait_until(acknowledged, 30)
    assert "01 arrived" in run(home, "trace", sent[0]["id"])
    assert sent[0]["id"] in run(home, "inbox", "H29", "--json")


def test_many_files_under_one_signature(exchange: Exchange, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.txt" for n in range(5)]
    for n, path in enumerate(files):
        path.write_text(str(n))
    sent = loads(
        run(exchange.world.home.folder, "publish", *map(str, files), "--each", "--batch-sign",
            "--from", "H29", "--to", "G11", "--subject", "Ký lô", "--json")
    )  # fmt: skip
    exchange.settle()
    fates = [exchange.fate((one["topic"], one["partition"], one["offset"])) for one in sent]
    assert [fate.event["outcome"] for fate in fates] == ["accepted"] * 5


def test_lists_are_machine_readable(exchange: Exchange) -> None:
    home = exchange.world.home.folder
    provinces = loads(run(home, "agency", "list", "--level", "province", "--limit", "5000", "--json"))
    assert sum(one["form"] == "province" for one in provinces) == 63
    shown = loads(run(home, "agency", "show", "000.00.00.H26", "--json"))
    assert (shown["code"], shown["level"], shown["parent"]) == ("H26", "province", "G00")
    status = loads(run(home, "status", "--json"))
    assert {one["name"]: one["state"] for one in status["processes"]}["hop-1"] == "running"
    assert loads(run(home, "audit", "--json"))["holds"] is True


@pytest.mark.parametrize("block", blocks(README), ids=["quick-start", "auditor"])
def test_what_the_readme_says_is_true(exchange: Exchange, tmp_path: Path, block: str) -> None:
    assert block.count("\n") > 5
    (tmp_path / "README.md").write_bytes(README.read_bytes())
    assert "The books balance." in run_page(block, exchange.world.home, tmp_path)


def living(folder: Path) -> list[str]:
    """Command lines of processes that work in a home."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(folder) in line or str(folder) in (process.info["cwd"] or ""):
            found.append(line)
    return found


@pytest.mark.parametrize("moment", ["run/kafka-1.pid", "run/hop-1.pid", "keys/agencies/G22/seal.crt.pem"])
def test_ctrl_c_leaves_nothing_of_a_demo_running(tmp_path: Path, moment: str) -> None:
    home = Home(tmp_path / "home")
    demo = subprocess.Popen(
        [sys.executable, "-m", "exchange", "--home", str(home.folder), "demo", "--documents", "20000", "--rate", "500"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        assert wait_until((home.folder / moment).exists, 90)
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(60) == 130
    finally:
        if demo.poll() is None:
            demo.kill()
    assert wait_until(lambda: not living(home.folder), 5), living(home.folder)


@pytest.mark.timeout(300)
def test_a_demo_ends_with_a_proof_that_a_stranger_accepts(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    said = run(home.folder, "demo", "--documents", "100", "--rate", "100", "--stop")
    assert "It holds" in said
    assert "The books balance." in said
    root = x509.load_pem_x509_certificate((home.keys / "root.crt.pem").read_bytes())
    file, key = (home.folder / "evidence.zip").read_bytes(), str(key_of(World(home)).verifier)
    assert independent_verifier.verify(file, root, key, now_ms())
    assert not living(home.folder)
