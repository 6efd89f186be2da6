"""Prometheus and Alertmanager for tests: the real ones where they are installed, on ports of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from exchange.local.waiting import wait_until

START_S = 60.0


def tool(*names: str) -> str:
    """The path of a program that is installed under one of these names; skips without it."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} isn't installed (Debian: prometheus, prometheus-alertmanager)")
    return found


@contextmanager
def running(command: list[str], url: str, folder: Path) -> Iterator[str]:
    """Run a server until the block ends; gives its address once ``/-/ready`` answers."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        assert wait_until(lambda: _is_ready(url) or process.poll() is not None, START_S), log.read_text(
            encoding="utf-8"
        )
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield url
    finally:
        process.terminate()
        process.wait(START_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
