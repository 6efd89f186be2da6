"""How long work tells what it is doing: a callback, silent or as a bar on the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Report(Protocol):
    """Called with what is going on and how far it is; must return quickly and not raise.

    `done` and `total` count in any one unit; `total` 0 means that nobody knows. A new `step` begins a new
    line. It may be called from another thread.
    """

    def __call__(self, step: str, done: int = 0, total: int = 0) -> None:
        """Take note of the progress of `step`."""


def silent(step: str, done: int = 0, total: int = 0) -> None:
    """Report nothing."""


@contextlib.contextmanager
def on_terminal(console: Console | None = None) -> Iterator[Report]:
    """Give a `Report` that draws one line a step; plain and quiet when there is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console or Console(stderr=True)) as bars:
        current: dict[str, TaskID] = {}

        def report(step: str, done: int = 0, total: int = 0) -> None:
            if step not in current:
                for task in bars.task_ids:
                    bars.update(task, total=1, completed=1)
                current[step] = bars.add_task(step, total=total or None)
            bars.update(current[step], total=total or None, completed=done)

        yield report
        for task in bars.task_ids:
            bars.update(task, total=1, completed=1)
