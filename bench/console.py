"""The console over a year of the nation: how soon a page can be worked with, and what fifty open ones cost.

The trace is that of `bench.search`, its end being now; the throughput has a year of minutes, hours and days, made by
SQL. The browser is the system's Chromium, with nothing cached, on the same machine. Kafka is away: the console says so.

A page can be worked with when it shows what it is for. While fifty are open, nothing new is counted: what is measured
is asking every two seconds and finding the same, not sending what changed.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from playwright.sync_api import Browser

from bench.results import Result, result, told
from bench.search import DOCUMENTS, SPACING_MS, SUBJECTS, database, fill, nation, summary
from bench.world import SEED, BenchWorld
from exchange.console import Deployment, Everybody, everything, listen, serve
from exchange.errors import Unavailable
from exchange.views.throughput import ThroughputStore
from tests.support.consoles import Console, chromium, free_port, running, visiting

ROUNDS = 3
INTERACTIVE_MS_MAX = 1_500.0
OPEN, WATCHED_S = 50, 30.0
CORES_MAX = 1.0

PAGES = {
    "now": "figure svg",
    "documents": "form button[type=submit]",
    "units": ".units tbody tr",
    "dead-letters": "main .rows tbody tr",
    "history": ".tall svg",
}
"""What each page is for."""

_FILE = Path(__file__).with_suffix(".sql")


def measure(_: BenchWorld | None = None, documents: int = DOCUMENTS) -> Iterator[Result]:
    """On a PostgreSQL of its own."""
    view, dice = nation(), random.Random(SEED)
    with database() as store:
        told(f"making the trace of {documents:,} documents, and a year's throughput")
        first_ms = time.time_ns() // 1_000_000 - documents * SPACING_MS
        rows = fill(store, [summary(dice) for _ in range(SUBJECTS)], view, documents, first_ms)
        windows = _windows(store.database_url)
        told(f"{rows:,} rows of the trace, {windows:,} of the throughput; opening pages")
        port = free_port()
        command = [sys.executable, "-m", "bench.console", str(port), store.database_url]
        with running(command, port) as console, chromium() as browser:
            spent = {name: [_opened(browser, console, name) for _ in range(ROUNDS)] for name in PAGES}
            runs = [{"page": name, "ms": [round(ms) for ms in values]} for name, values in spent.items()]
            slowest = max(spent.values(), key=lambda values: sorted(values)[ROUNDS // 2])
            head = {"trace_rows": rows, "throughput_rows": windows}
            yield result("console.page", slowest, "ms", at_most=INTERACTIVE_MS_MAX, runs=[head, *runs])
            told(f"{OPEN} open pages, for {WATCHED_S:.0f} s")
            cores = _open_for_long(browser, console)
            yield result("console.fifty_open", [cores], "cores", at_most=CORES_MAX)


def _windows(url: str) -> int:
    store = ThroughputStore(url)
    store.prepare()
    with store.connect() as connection:
        connection.execute("SET synchronous_commit = off; SELECT setseed(0.2022)")
        psycopg.ClientCursor(connection).execute(_FILE.read_bytes(), {"until": int(time.time() // 60)})
        row = connection.execute("SELECT count(*) FROM cells").fetchone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return int(row[0]) if row else 0


def _opened(browser: Browser, console: Console, name: str) -> float:
    with visiting(browser) as visitor:
        began = time.perf_counter()
        visitor.page.goto(f"{console.url}/vi/{name}", wait_until="commit")
        visitor.page.locator(PAGES[name]).first.wait_for(state="attached", timeout=60_000)
        return 1e3 * (time.perf_counter() - began)


def _open_for_long(browser: Browser, console: Console) -> float:
    """The CPU that the console spends meanwhile, in cores; the browser's own isn't counted."""
    process = psutil.Process(console.pid)
    with visiting(browser) as visitor:
        for _ in range(OPEN):
            page = visitor.context.new_page()
            page.goto(f"{console.url}/vi/now", wait_until="commit")
            page.locator(PAGES["now"]).first.wait_for(state="attached", timeout=60_000)
        before, began = _cpu_s(process), time.monotonic()
        visitor.page.wait_for_timeout(1e3 * WATCHED_S)
        return (_cpu_s(process) - before) / (time.monotonic() - began)


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def main() -> None:
    """Serve the console that is measured: its port, and the database."""
    port, url = int(sys.argv[1]), sys.argv[2]
    view = nation()

    def away(*_: object) -> Any:  # noqa: ANN401
        raise Unavailable("kafka.unavailable", "not a part of this benchmark")

    place = Deployment(
        base=away,
        database_url=lambda: url,
        directory=lambda: view,
        trust=away,
        keyed=4,
        group="",
        processes=list,
        ages=lambda: None,
        evidence=away,
        present=away,
        entrance=Everybody(everything("bench")),
    )
    with listen(port) as listener:
        asyncio.run(serve(place, listener))


if __name__ == "__main__":
    main()
