"""Shares of an audit in processes of their own: in order, loud when one fails, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from exchange.auditor import Share, in_processes
from exchange.auditor.processes import Tell
from exchange.errors import ExchangeError, Fenced, InvariantBroken, Misconfigured, Rejected, Unavailable


def quiet(_: str, __: int, ___: int) -> None:
    """Tell nobody."""


def wait_for_ever() -> None:
    while True:
        signal.pause()


def squared(share: Share, tell: Tell) -> tuple[int, int]:
    tell("squaring", share.number, share.of)
    return share.number**2, os.getpid()


def ends_itself(how: str, share: Share, tell: Tell) -> None:
    tell("about to", 0, 0)
    if share.number != 1:
        wait_for_ever()
    if how == "bug":
        raise ZeroDivisionError("ours")
    if how == "unavailable":
        raise Unavailable("kafka.silent", "for a minute")
    os.kill(os.getpid(), signal.SIGKILL)


def waits(folder: Path, share: Share, _: Tell) -> None:
    (folder / f"{share.number}.draft").write_text(str(os.getpid()))
    (folder / f"{share.number}.draft").rename(folder / f"{share.number}.pid")
    wait_for_ever()


def test_what_they_found_comes_in_their_order() -> None:
    told: list[tuple[str, int, int]] = []
    found = in_processes(squared, 3, lambda *said: told.append(said))
    assert [value for value, _ in found] == [0, 1, 4]
    assert len({pid for _, pid in found} | {os.getpid()}) == 4
    assert ("squaring", 0, 3) in told


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("bug", InvariantBroken, "share 2 of 3 of the audit ended with code 1"),
        ("unavailable", Unavailable, "kafka.silent: for a minute"),
        ("killed", Unavailable, "audit.process_killed: share 2 of 3 by SIGKILL"),
    ],
)
def test_one_that_fails_ends_them_all(how: str, error: type[ExchangeError], said: str) -> None:
    with pytest.raises(error, match=said):
        in_processes(partial(ends_itself, how), 3, quiet)
    assert [one for one in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(one.cmdline())] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_they_end_with_the_one_that_waits_for_them(tmp_path: Path, number: int) -> None:
    """By Ctrl-C, which the terminal sends to all of them, and by a kill, which nobody can answer."""
    code = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "from exchange.auditor import in_processes; from tests.unit.test_audit_processes import quiet, waits\n"
        "if __name__ == '__main__': in_processes(partial(waits, Path(sys.argv[1])), 2, quiet)\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    shares = [psutil.Process(int(_awaited(tmp_path / f"{share}.pid"))) for share in range(2)]
    if number == signal.SIGINT:
        os.killpg(started.pid, number)
    else:
        started.send_signal(number)
    _, said = started.communicate(timeout=30)
    assert psutil.wait_procs(shares, timeout=30)[1] == []
    assert said.count("Traceback") == (1 if number == signal.SIGINT else 0)  # the shares say nothing


@pytest.mark.parametrize(
    "error",
    [
        Misconfigured(["one", "two"]), InvariantBroken("ours", "documents/0/7"), Unavailable("a.b", "c"),
        Rejected("d.e", "f"), Fenced("g.h"),
    ],
)  # fmt: skip
def test_an_error_arrives_as_it_was_raised(error: ExchangeError) -> None:
    with pytest.raises(type(error)) as raised:
        in_processes(partial(raises, error), 1, quiet)
    assert vars(raised.value) == vars(error)
    assert str(raised.value) == str(error)


def raises(error: ExchangeError, _: Share, __: Tell) -> None:
    raise error


def _awaited(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)
    return path.read_text()
