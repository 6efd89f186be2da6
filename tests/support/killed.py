"""A connector's turn in a process that is killed (SIGKILL) before its n-th durable step.

A step is whatever makes something last: a file synced or renamed, a row of the book, a request to the gateway. The
process is forked from one that has imported everything, so that a turn costs what it does and not a start of Python.
Speaks JSON lines: a turn asked for on standard input, whether it was killed on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from exchange import Agency
from exchange.sdk import load_key

_WRITES = ("INSERT", "UPDATE", "COMMIT")
Turn = Callable[[Agency, Path, dict[str, Any]], None]


class Killed:
    """Turns of one connector. `spec`: code, key folder, gateway and root, and what the turn itself wants."""

    def __init__(self, module: str, spec: dict[str, Any]) -> None:
        self._spec = spec
        command = [sys.executable, "-m", "tests.support.killed", module]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self, kill_at: int | None = None) -> bool:
        """Take a turn; True if it came to its end. Fails if it failed in another way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._spec | {"kill_at": kill_at}) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code in {0, -signal.SIGKILL}, code
        return code == 0

    def close(self) -> None:
        """End it."""
        self._process.communicate("", timeout=30)


@contextmanager
def killed(module: str, **spec: Any) -> Iterator[Killed]:  # noqa: ANN401
    """`module`: has a function `turn` as `Turn`."""
    one = Killed(module, spec)
    try:
        yield one
    finally:
        one.close()


def _arm(kill_at: int) -> None:
    """Kill this process before its n-th step."""
    steps = 0

    def counted(original: Callable[..., Any], *, is_step: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            nonlocal steps
            steps += is_step(*args)
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return step

    for name in ("fsync", "rename", "replace"):
        setattr(os, name, counted(getattr(os, name)))
    setattr(httpx.Client, "request", counted(httpx.Client.request))  # noqa: B010

    class Counted(sqlite3.Connection):
        execute = counted(sqlite3.Connection.execute, is_step=lambda _, query, *__: query.startswith(_WRITES))

    connect = sqlite3.connect
    setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=Counted, **kwargs))  # noqa: B010


def _child(turn: Turn, asked: dict[str, Any]) -> None:
    if asked["kill_at"] is not None:
        _arm(asked["kill_at"])
    root = Path(asked["root"])
    key = load_key(Path(asked["key"]))
    with Agency(asked["code"], key, asked["gateway"], folder=root / "agency", patience_s=20) as agency:
        turn(agency, root, asked)


def main() -> None:
    """Serve turns until standard input ends."""
    from importlib import import_module

    turn: Turn = import_module(sys.argv[1]).turn
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _child(turn, json.loads(line))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
