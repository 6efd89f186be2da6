"""What commands print: rich for people, JSON for programs; errors with what happened, why and what to do.

Results go to standard output, everything else (progress, errors) to standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from exchange.errors import ExchangeError, Fenced, InvariantBroken, Misconfigured, Rejected, Unavailable

OUT = Console()
ERR = Console(stderr=True)

DONE, NO, MISUSE, NO_WORLD = 0, 1, 2, 3
"""Exit codes: done; the answer is no; misuse; the world is not available."""

VIETNAM = timezone(timedelta(hours=7))

_ADVICE = {
    "services.down": "Start them with `exchange up`, or give --bootstrap-servers and --database-url.",
    "kafka.topic_missing": "Make the topics with `exchange init`.",
    "certificate.revoked": "Issue a new one with `exchange keys create CODE --renew`.",
    "certificate.expired": "Issue a new one with `exchange keys create CODE --renew`.",
    "disk.full": "Make room on that disk, then run `exchange up`; what was acknowledged is kept.",
    "ledger.unwitnessed": "Documents flow on. See whether the witnesses answer: docs/attesting.md.",
    "ledger.unstamped": "Documents flow on. See whether the time-stamping authority answers: docs/attesting.md.",
    "decision.same_person": "Somebody else has to agree: --seconded-by.",
    "hour.overdue": "Documents flow on. See why the process `books` doesn't close them: docs/hourly-books.md.",
    "home.running": "Stop it with `exchange down`; what is submitted meanwhile is refused, not lost.",
    "home.locked": "Wait until the other command is done, then try again.",
}


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Have this process log from `level` on, to whichever standard error there is when it logs."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> None:
    """A table on standard output; `right`: the columns aligned right."""
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left")
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    OUT.print(drawn)


def clock(ms: int) -> str:
    """A broker time for people, in Vietnam's zone, to the millisecond."""
    moment = datetime.fromtimestamp(ms / 1000, VIETNAM)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03d}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def explain(exc: ExchangeError) -> int:
    """Print an error to standard error and return the exit code that goes with it."""
    if isinstance(exc, Misconfigured):
        ERR.print("[bold red]Can't start:[/]")
        for problem in exc.problems:
            ERR.print(f"  • {problem}", markup=False)
        return MISUSE
    ERR.print(f"[bold red]{_headline(exc)}[/] ({exc.code})", highlight=False)
    if exc.detail:
        ERR.print(f"  {exc.detail}", markup=False, highlight=False, soft_wrap=True)  # may hold a command to copy
    advice = _ADVICE.get(exc.code)
    if advice:
        ERR.print(f"  {advice}", highlight=False)
    return NO if isinstance(exc, Rejected) else NO_WORLD


def _headline(exc: ExchangeError) -> str:
    headlines: Mapping[type[ExchangeError], str] = {
        Rejected: "Refused",
        Unavailable: "Not available now",
        Fenced: "Another process took over",
        InvariantBroken: "A bug of ours; nothing more was written",
    }
    return headlines.get(type(exc), "Failed")


def to_rows(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Counts by name as table rows, largest first."""
    return [(name, f"{count:,}") for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


Json = dict[str, Any]
