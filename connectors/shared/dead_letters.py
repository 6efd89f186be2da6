"""A connector's dead letters: what couldn't be dealt with, each in a folder of its own, with the code and the reason.

Guarantees: nothing is thrown away; a dead letter has its name only when all of it is there. ``why.json`` holds `code`,
`detail`, `at_ms` and whatever the connector adds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from connectors.shared.figures import Figures
from connectors.shared.files import move, private, read_json, write, write_json
from exchange.errors import ExchangeError

WHY = "why.json"
DETAIL_CHARACTERS_MAX = 500


class DeadLetters:
    """The dead letters in a folder, counted in `figures`."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        private(folder)
        self.folder = folder
        self._figures = figures

    def take(self, found: Path, name: str, exc: ExchangeError, **more: Any) -> Path:  # noqa: ANN401  JSON
        """Move a folder with what couldn't be dealt with here; returns where it lies now."""
        detail = exc.detail[:DETAIL_CHARACTERS_MAX]
        write_json(found / WHY, {"code": exc.code, "detail": detail, "at_ms": int(time.time() * 1000), **more})
        number, target = 1, self.folder / name
        while target.exists():
            number += 1
            target = self.folder / f"{name}-{number}"
        move(found, target)
        self._figures.dead_letters.labels(exc.code).inc()
        return target

    def keep(self, work: Path, name: str, exc: ExchangeError, content: dict[str, bytes]) -> Path:
        """Keep bytes here; they are gathered in the folder `work`, made if missing."""
        private(work)
        for one, body in content.items():
            write(work / one, body)
        return self.take(work, name, exc)

    def listed(self) -> list[tuple[str, dict[str, Any]]]:
        """Names and what ``why.json`` says, the oldest first."""
        found = [(path.parent.name, read_json(path)) for path in self.folder.glob(f"*/{WHY}")]
        return sorted(found, key=lambda one: (one[1]["at_ms"], one[0]))
