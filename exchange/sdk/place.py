"""Where an agency stopped reading its inbox, and where it had to step over what is no longer kept; on this disk.

Guarantees: over restarts, the cursor is after what was dealt with and before all else. A gap is written down before
reading goes on beyond it. Not guaranteed: that something was lost in a gap; only that nobody can tell from here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from exchange.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Gap:
    """The inbox wasn't read for longer than it is kept. What came after `since_ms`, when it was last read, and left
    it before `noticed_ms` was not handed out; the operator has it in the archive. By this machine's clock."""

    cursor: str
    since_ms: int
    noticed_ms: int


class InboxPlace:
    """The place in a folder, which exists."""

    def __init__(self, folder: Path) -> None:
        self._cursor, self._gaps = folder / "cursor", folder / "gaps.json"

    def cursor(self) -> str:
        """Where to go on; empty: with the oldest kept. Misconfigured if it can't be read."""
        return _read(self._cursor).strip()

    def move(self, cursor: str) -> None:
        """Everything before `cursor` was dealt with."""
        _write(self._cursor, cursor)

    def step_over(self, now_ms: int) -> None:
        """The cursor is older than what is kept: remember the gap, and begin with the oldest kept.

        Nothing comes twice by that: whatever is kept lies after a cursor that is not. Died in between: it is found
        again, and noted once.
        """
        gap = Gap(self.cursor(), int(self._cursor.stat().st_mtime * 1000), now_ms)
        known = self.gaps()
        if gap.cursor not in {one.cursor for one in known}:
            _write(self._gaps, json.dumps([asdict(one) for one in (*known, gap)]))
        self._cursor.unlink()

    def gaps(self) -> list[Gap]:
        """All gaps so far, the oldest first."""
        try:
            return [Gap(**one) for one in json.loads(_read(self._gaps) or "[]")]
        except (ValueError, TypeError) as exc:
            raise Misconfigured([f"{self._gaps} can't be read: {exc}"]) from exc


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as exc:
        raise Misconfigured([f"{path} can't be read: {exc}"]) from exc


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, encoding="ascii")
    draft.replace(path)
