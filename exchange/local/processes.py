"""A child process that outlives the program that started it, found again by its pid file.

Guarantees: a reused pid is never taken for the process (the pid file holds its start as well); the child
has a session of its own, so the terminal's Ctrl-C does not reach it; its output goes to a file, so it keeps
no pipe of the caller open; no Ctrl-C falls between the start of a child and the writing of its pid file.
Does not: restart anything. A SIGKILL of the caller in the instant of a start can lose one child.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import psutil

from exchange.errors import Unavailable
from exchange.local.home import write_private
from exchange.local.waiting import wait_until

_LOG_BYTES_MAX = 10 * 1024 * 1024
STOP_GRACE_S = 30.0
_KILL_WAIT_S = 10.0
# For Java to read paths that are not ASCII, for PostgreSQL to know Vietnamese letters.
UTF8_LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"

# Children of this very process: kept so that they are reaped when they end, and never warned about.
_children: dict[int, subprocess.Popen[bytes]] = {}


@atexit.register
def _let_go() -> None:
    """Mark the children as dealt with: they live on, and Popen would warn of that."""
    for child in _children.values():
        child.returncode = child.returncode or 0


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let a Ctrl-C wait until the block is over; it is raised then. Only the main thread gets any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        pressed.append(number)

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if pressed:
        signal.raise_signal(signal.SIGINT)


def _birth(process: psutil.Process) -> str:
    """Name the moment a process began, the same however the clock is set later.

    On Linux ticks since boot plus the boot's id: psutil's create time moves when NTP steps the clock.
    """
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return f"{process.create_time():.2f}"
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{boot}/{fields[19]}"


class ChildProcess:
    """One process of a home, known by its pid file. `name` is for logs and status.

    `ends_by`: the signal by which the program ends in good order.
    """

    def __init__(self, name: str, run_folder: Path, ends_by: signal.Signals) -> None:
        self.name = name
        self.ends_by = ends_by
        self.pid_file = run_folder / f"{name}.pid"
        self.output_file = run_folder / f"{name}.out"
        self._child: subprocess.Popen[bytes] | None = None

    def process(self) -> psutil.Process | None:
        """Find the living process; None if it never was, has ended, or its pid is another's by now."""
        try:
            noted = json.loads(self.pid_file.read_text(encoding="utf-8"))
            pid, birth = int(noted["pid"]), str(noted["birth"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        if (child := _children.get(pid)) is not None and child.poll() is not None:
            _children.pop(pid, None)  # unless another thread did
        try:
            process = psutil.Process(pid)
            alive = process.status() != psutil.STATUS_ZOMBIE and _birth(process) == birth
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return None
        return process if alive else None

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.process() is not None

    @property
    def has_crashed(self) -> bool:
        """Tell whether the process ended without anyone having asked for it."""
        return self.pid_file.exists() and not self.is_running

    @property
    def exit_code(self) -> int | None:
        """How the process ended that this object started: negative is a signal; None while it lives."""
        return self._child.poll() if self._child is not None else None

    def start(
        self,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        account: tuple[int, int] | None = None,
    ) -> None:
        """Start `command` in `folder` and note its pid. `account`: uid and gid to run as, None for ours.

        Raises: Unavailable(``process.start_failed``) when the program can't be executed.
        """
        if self.output_file.exists() and self.output_file.stat().st_size > _LOG_BYTES_MAX:
            self.output_file.replace(self.output_file.with_suffix(".out.1"))
        uid, gid = account or (None, None)
        with interrupts_deferred(), self.output_file.open("ab") as output:
            try:
                child = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    user=uid,
                    group=gid,
                    extra_groups=None if account is None else [],
                )
            except OSError as exc:
                raise Unavailable("process.start_failed", f"{self.name}: {exc}") from exc
            self._child = _children[child.pid] = child
            note = {"pid": child.pid, "birth": _birth(psutil.Process(child.pid))}
            write_private(self.pid_file, json.dumps(note))

    def kill(self) -> None:
        """SIGKILL the process with all its children and wait until they are gone; keeps the pid file.

        What is left looks like a crash, and that is what fault tests want.
        """
        process = self.process()
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [process, *process.children(recursive=True)]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            # Its own end is waited for by Popen, which then knows the exit code; psutil would take it away.
            wait_until(lambda: not self.is_running, _KILL_WAIT_S)
            psutil.wait_procs(family[1:], timeout=_KILL_WAIT_S)

    def forget(self) -> None:
        """Drop the pid file of a process that has ended."""
        self.pid_file.unlink(missing_ok=True)

    def output_tail(self, lines: int = 5) -> str:
        """Give the last lines that the process wrote, for an error's detail."""
        try:
            with self.output_file.open("rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
                text = stream.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def stop_together(processes: Sequence[ChildProcess], grace_s: float = STOP_GRACE_S) -> None:
    """Ask all to end in good order, kill those that live after `grace_s`, forget them all; idempotent."""
    for each in processes:
        if process := each.process():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(each.ends_by)
    wait_until(lambda: not any(each.is_running for each in processes), grace_s)
    for each in processes:
        each.kill()
        each.forget()
