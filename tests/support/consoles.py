"""A console for tests: the real command or its deployment in a process of its own, and the system's Chromium.

Screenshots go into the folder that ``EXCHANGE_SCREENSHOTS`` names, for whoever changes a page to look at.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from exchange.cli.running import options_of
from exchange.cli.world import World
from exchange.local.waiting import wait_until

CHROMIUM = shutil.which("chromium")
ABSENT = "no Chromium here (Debian: apt-get install chromium)"
SCREENSHOTS = os.environ.get("EXCHANGE_SCREENSHOTS")
WIDE, NARROW = (1280, 800), (390, 844)
START_S = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Console:
    """A console that answers."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(world: World, by: str | None = None) -> Iterator[Console]:
    """`exchange console` in this world. `by`: who everybody is; None: people log in."""
    port = free_port()
    command = [sys.executable, "-m", "exchange", *options_of(world), "console", "--port", str(port)]
    command += ["--login"] if by is None else ["--by", by]
    with running(command, port) as console:
        yield console


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[Console]:
    """A command that serves a console at the port, until the block ends."""
    process = subprocess.Popen(command)
    try:
        assert wait_until(lambda: _answers(port, process), START_S)
        yield Console(port, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the console ended"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/assets/icon.svg").is_success
    except httpx.TransportError:
        return False


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One person's browser: keeps what was asked for, what failed, and what the pages complained of."""

    def __init__(self, browser: Browser, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        width, height = size
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="vi-VN",
        )
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", self._note)
        self.page.on("console", lambda said: self._complain(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("websocket", lambda socket: self.requested.append(socket.url))

    def _note(self, request: Request) -> None:
        self.requested.append(request.url)

    def _complain(self, said: str) -> None:
        self.complaints.append(said)

    def shoot(self, name: str) -> None:
        """Take a picture of the whole page, if pictures are wanted."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)


@contextmanager
def visiting(browser: Browser, size: tuple[int, int] = WIDE, scheme: str = "light") -> Iterator[Visitor]:
    """A visitor with cookies of its own."""
    visitor = Visitor(browser, size, scheme)
    try:
        yield visitor
    finally:
        visitor.context.close()
