"""A sample of what the exchange owes us: submissions whose promise is still to be checked, on this disk.

Guarantees: over restarts, the oldest first, at most `OWED_MAX`; what doesn't fit isn't sampled. A crash may forget
the last changes: then something is checked twice or not at all.
"""

from __future__ import annotations

import json
from pathlib import Path

from exchange.errors import Misconfigured
from exchange.sdk.entries import Receipt

OWED_MAX = 64
OWED_AFTER_MS = 120_000
"""Checked so long after the submission: by then the ledger holds it, or a promise is broken."""
GIVE_UP_MS = 24 * 3_600_000


class Owed:
    """The sample in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._receipts = _read(path)

    def add(self, receipt: Receipt) -> None:
        """Remember one, if there is room."""
        if len(self._receipts) < OWED_MAX:
            self._receipts.append(receipt)
            self._write()

    def due(self, now_ms: int) -> Receipt | None:
        """The next to check; None if none is old enough. What couldn't be checked for a day is let go."""
        self._receipts = [one for one in self._receipts if one.append_ms > now_ms - GIVE_UP_MS]
        if not self._receipts or self._receipts[0].append_ms > now_ms - OWED_AFTER_MS:
            return None
        return self._receipts[0]

    def settled(self, receipt: Receipt) -> None:
        """It was checked."""
        self._receipts = [one for one in self._receipts if one != receipt]
        self._write()

    def later(self, receipt: Receipt) -> None:
        """It can't be checked yet: the others first."""
        self._receipts = [*(one for one in self._receipts if one != receipt), receipt]

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(
            json.dumps([[getattr(one, name) for name in one.__slots__] for one in self._receipts]), "utf-8"
        )
        draft.replace(self._path)


def _read(path: Path) -> list[Receipt]:
    try:
        return [Receipt(*one) for one in json.loads(path.read_text("utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as exc:
        raise Misconfigured([f"{path} can't be read: {exc}"]) from exc
