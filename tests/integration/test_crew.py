"""The crew: a worker that dies is started again; a bug of ours stops everyone, loudly; Ctrl-C leaves nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from exchange.errors import InvariantBroken
from exchange.local.crew import BUG, Crew, console_port, crew_of, crew_status, stop_crew
from exchange.local.home import Home
from exchange.local.processes import ChildProcess
from exchange.local.waiting import wait_until


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home without services: the crew's programs here are stand-ins."""
    made = Home(tmp_path / "home")
    made.create()
    yield made
    stop_crew(made)


def crew_that_runs(home: Home, program: str) -> Crew:
    """A crew of one worker whose program is this Python text."""
    crew = Crew(home, [], workers=1)
    crew.members[:] = [member for member in crew.members if member.child.name == "hop-1"]
    crew.members[0].command[:] = [sys.executable, "-c", program]
    return crew


def test_a_killed_worker_is_started_again(home: Home) -> None:
    crew = crew_that_runs(home, "import signal; signal.pause()")
    crew.start()
    [hop] = crew_of(home)
    first = pid_of(hop)
    stop = Event()
    watching = Thread(target=crew.watch, args=(stop,))
    watching.start()
    try:
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: hop.is_running and pid_of(hop) != first, 60)
    finally:
        stop.set()
        watching.join(10)


def test_a_bug_stops_the_crew_and_says_why(home: Home) -> None:
    crew = crew_that_runs(home, f"import sys; print('books broken'); sys.exit({BUG})")
    crew.start()
    with pytest.raises(InvariantBroken, match="books broken"):
        crew.watch(Event())


def test_a_bug_in_a_view_leaves_the_others_at_work(home: Home) -> None:
    crew = Crew(home, [], workers=1)
    for member in crew.members:
        is_view = member.child.name == "trace-store"
        program = f"import sys; sys.exit({BUG})" if is_view else "import signal; signal.pause()"
        member.command[:] = [sys.executable, "-c", program]
    crew.start()
    stop = Event()
    watching = Thread(target=crew.watch, args=(stop,))
    watching.start()
    try:
        assert wait_until(lambda: any(member.is_out for member in crew.members), 60)
        assert all(member.child.is_running for member in crew.members if not member.is_out)
    finally:
        stop.set()
        watching.join(10)


def test_the_console_is_one_of_the_crew_if_asked_for_and_ends_with_it(home: Home) -> None:
    port = console_port()
    crew = Crew(home, ["--home", str(home.folder)], workers=1, console_port=port)
    crew.members[:] = [member for member in crew.members if member.child.name == "console"]
    crew.start()
    assert wait_until(lambda: _says_where(port), 60)
    assert [row.name for row in crew_status(home)] == ["console"]
    stop_crew(home)
    assert not _says_where(port)
    assert "console" not in {member.child.name for member in Crew(home, [], workers=1).members}


def _says_where(port: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/", headers={"accept-language": "en"})
    except httpx.TransportError:
        return False
    return answer.headers["location"] == "/en/now"


def test_ctrl_c_stops_a_running_exchange(home: Home) -> None:
    """`exchange run` on a home whose keys are there but whose Kafka isn't: the workers fail and are tried again."""
    subprocess.run([sys.executable, "-c", FOUND, str(home.keys)], check=True)
    running = subprocess.Popen(
        [sys.executable, "-m", "exchange", "--home", str(home.folder), "run"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert wait_until(lambda: bool(crew_of(home)), 20)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    assert crew_of(home) == []


FOUND = (
    "import sys, pathlib; from exchange.local.authority import Authority; Authority.create(pathlib.Path(sys.argv[1]))"
)


def pid_of(child: ChildProcess) -> int:
    process = child.process()
    return process.pid if process is not None else 0
