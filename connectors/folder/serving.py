"""Turn after turn, at once when something is dropped: the system tells of changes (`watchfiles`)."""

from __future__ import annotations

from pathlib import Path

from watchfiles import watch

from connectors.folder.connector import FolderConnector
from connectors.shared.figures import Figures
from connectors.shared.following import EVERY_S, follow, stopping

TOGETHER_MS = 200
"""Changes so close to each other are looked at together."""


def serve(connector: FolderConnector, figures: Figures, metrics: Path | None) -> None:
    """Serve until a signal. `metrics`: file for the figures."""

    def turn() -> bool:
        is_busy = connector.turn()
        if metrics is not None:
            figures.write(metrics)
        return is_busy

    with stopping() as stop:
        changes = watch(
            connector.out, stop_event=stop, debounce=TOGETHER_MS, rust_timeout=int(EVERY_S * 1000),
            yield_on_timeout=True, recursive=False, raise_interrupt=False,
        )  # fmt: skip
        follow(turn, stop, figures, lambda _: next(changes, None))
