"""`exchange torture` as CI runs it: two minutes by a seed, with everything killed, stopped and continued at random.

What it checks itself is in `exchange.local.torture.reckoning`; here it is a program that must say so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from exchange.local.home import Home
from exchange.local.torture.schedule import schedule
from exchange.local.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

MINUTES, SEED, WORKERS = 2, 7, 2
STROKES_MISSED_MAX = 6
"""Strokes that find nobody because their victim is just being started again, or that a slow start left no time for."""


def torture(home: Path, *arguments: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "exchange", "--home", str(home), "torture", *arguments]


def living(folder: Path) -> list[str]:
    """Command lines of processes that work in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(folder) in line or str(folder) in (process.info["cwd"] or ""):
            found.append(line)
    return found


def test_two_minutes_of_torture_lose_and_double_nothing(tmp_path: Path) -> None:
    arguments = ("--minutes", str(MINUTES), "--seed", str(SEED), "--workers", str(WORKERS), "--json")
    done = subprocess.run(torture(tmp_path, *arguments), capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr[-3000:])
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["verdict"] == "balanced"
    assert said["findings"] == []
    assert said["submitted"] == said["sent"] == said["accepted"] + said["rejected"] + said["duplicates"]
    assert min(said[what] for what in ("accepted", "rejected", "duplicates", "receipts", "acknowledged")) > 0
    planned = schedule(SEED, MINUTES * 60, WORKERS)
    struck = {victim: sum(acts.values()) for victim, acts in said["strokes"].items()}
    assert sum(struck.values()) + said["missed"] == len(planned)
    assert said["missed"] <= STROKES_MISSED_MAX
    assert set(struck) == {stroke.victim for stroke in planned}, "everyone was struck"
    assert not (tmp_path / "torture").exists()
    assert living(tmp_path) == []


def test_ctrl_c_continues_and_stops_everyone(tmp_path: Path) -> None:
    home = Home(tmp_path / "torture")
    running = subprocess.Popen(
        torture(tmp_path, "--minutes", "5", "--seed", str(SEED)),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        assert wait_until((home.run / "hop-2.pid").exists, 120)
        assert wait_until(lambda: someone_is_stopped(home), 120), "the first stop of this seed"
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(120) == 130
    finally:
        if running.poll() is None:
            running.kill()
        assert running.stderr is not None
        running.stderr.close()
    assert wait_until(lambda: not living(tmp_path), 5), living(tmp_path)


def someone_is_stopped(home: Home) -> bool:
    """Whether any process of the home lies still after a SIGSTOP."""
    pids = [json.loads(path.read_text(encoding="utf-8"))["pid"] for path in home.run.glob("*.pid")]
    return any(psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids)
