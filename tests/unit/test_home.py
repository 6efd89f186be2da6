"""The home's folders, lock, state and ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.errors import Misconfigured, Unavailable
from exchange.local.home import FORMAT_VERSION, Home, cache_folder
from exchange.local.processes import ChildProcess, interrupts_deferred, stop_together
from exchange.local.waiting import wait_until


def _settled(folder: Path) -> Home:
    home = Home(folder)
    home.create()
    home.settle(1)
    return home


def test_folders_are_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    assert not home.folder.exists(), "making the object touches nothing"
    home.create()
    home.create()
    for folder in (home.folder, home.kafka, home.postgres, home.attachments, home.keys, home.run):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_state_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.state() is None
    first = home.settle(1)
    assert len(first.cluster_id) == 22
    assert Home(tmp_path).settle(1) == first
    assert home.state_file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob("*.new")) == []


def test_another_number_of_brokers_is_refused(tmp_path: Path) -> None:
    home = _settled(tmp_path)
    with pytest.raises(Misconfigured, match="use another home"):
        home.settle(3)


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", json.dumps({"format_version": FORMAT_VERSION + 1})])
def test_a_state_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.state_file.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"home\.json cannot be read"):
        home.state()


def test_ports_stay_and_differ(tmp_path: Path) -> None:
    home = _settled(tmp_path)
    kafka, postgres = (home.port(name, must_be_free=True) for name in ("kafka-1", "postgres"))
    assert kafka != postgres
    assert Home(tmp_path).port("kafka-1", must_be_free=True) == kafka


def test_a_port_taken_by_a_stranger_is_replaced_for_a_start_only(tmp_path: Path) -> None:
    home = _settled(tmp_path)
    port = home.port("kafka-1", must_be_free=True)
    with socket.create_server(("127.0.0.1", port)):
        assert home.port("kafka-1", must_be_free=False) == port
        assert home.port("kafka-1", must_be_free=True) != port


def test_no_port_before_the_first_up(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"home\.empty"):
        Home(tmp_path).port("kafka-1", must_be_free=False)


def test_the_lock_keeps_others_out_and_dies_with_its_holder(tmp_path: Path) -> None:
    home = _settled(tmp_path)
    script = (
        "import sys; from exchange.local.home import Home\n"
        "with Home(sys.argv[1]).locked(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable, match=r"home\.locked"), home.locked(wait_s=0):
            pass
        holder.kill()
    with home.locked(wait_s=0):
        pass


def test_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EXCHANGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "exchange"


def test_a_reused_pid_is_not_the_process(tmp_path: Path) -> None:
    child = ChildProcess("sleeper", tmp_path, signal.SIGTERM)
    child.start(["sleep", "60"], tmp_path, os.environ)
    assert child.process() is not None
    note = json.loads(child.pid_file.read_text(encoding="utf-8"))
    child.pid_file.write_text(json.dumps({**note, "pid": os.getpid()}), encoding="utf-8")
    assert not child.is_running
    assert child.has_crashed
    child.pid_file.write_text(json.dumps(note), encoding="utf-8")
    stop_together([child])
    assert not child.is_running
    assert not child.has_crashed


def test_a_killed_child_has_crashed(tmp_path: Path) -> None:
    child = ChildProcess("sleeper", tmp_path, signal.SIGTERM)
    child.start(["sleep", "60"], tmp_path, os.environ)
    assert child.exit_code is None
    child.kill()
    assert not child.is_running
    assert child.has_crashed
    assert child.exit_code == -signal.SIGKILL


def test_the_exit_code_of_a_child_is_known(tmp_path: Path) -> None:
    child = ChildProcess("failing", tmp_path, signal.SIGTERM)
    child.start(["sh", "-c", "exit 70"], tmp_path, os.environ)
    assert wait_until(lambda: not child.is_running, 10)
    assert child.exit_code == 70


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    child = ChildProcess("stubborn", tmp_path, signal.SIGTERM)
    child.start(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 60; done"], tmp_path, os.environ)
    assert wait_until(lambda: child.output_tail() == "deaf", 10)
    stop_together([child], grace_s=0.1)
    assert not child.is_running


def test_a_program_that_is_missing_is_told(tmp_path: Path) -> None:
    child = ChildProcess("missing", tmp_path, signal.SIGTERM)
    with pytest.raises(Unavailable, match=r"process\.start_failed"):
        child.start([tmp_path / "no-such-program"], tmp_path, os.environ)
    assert not child.has_crashed


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    reached: list[str] = []

    def interrupted() -> None:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached == ["the end"]
