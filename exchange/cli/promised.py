"""What the backbone signed about a document's way, for `exchange trace`: its promise, and whose deadline passed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from rich.tree import Tree

from exchange.backbone.clients import Config
from exchange.cli.output import clock
from exchange.ledger.promises import Found, PromiseFinder
from exchange.views.trace_path import Path

LAPSES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Promised:
    """`promise`: about the document's acceptance, or else its last rejection; None while there is none."""

    promise: Found | None
    lapses: tuple[Found, ...]

    def members(self) -> dict[str, Any]:
        """For JSON: each word's fields, and the record that proves it (base64)."""
        lapses = [_member(one) for one in self.lapses]
        return {"promise": None if self.promise is None else _member(self.promise), "lapses": lapses}

    def draw(self, top: Tree) -> None:
        """Add it to the path's tree."""
        if self.promise is not None:
            fields = self.promise.fields
            top.add(
                f"promised by the exchange: {fields['outcome']} {fields['code']}".rstrip()
                + f", in the ledger by {clock(fields['included_ms'])}"
            )
        for lapse in self.lapses[:LAPSES_SHOWN]:
            fields = lapse.fields
            top.add(
                f"[yellow]{fields['recipient']}[/] had not answered by {clock(fields['deadline_ms'])}: "
                "signed by the exchange"
            )
        if len(self.lapses) > LAPSES_SHOWN:
            top.add(f"… and {len(self.lapses) - LAPSES_SHOWN:,} more that had not answered (all with --json)")


def promised(base: Config, path: Path) -> Promised:
    """Look up what was signed about a path. Raises: Unavailable."""
    document = path.document
    entry = document.entry if document is not None else next(iter(reversed(path.rejections)), None)
    if entry is None:
        return Promised(None, ())
    finder = PromiseFinder(base)
    try:
        promise = finder.promise(entry.partition, entry.trace_offset, entry.trace_index)
        if document is None or document.summary is None or document.summary.due is None:
            return Promised(promise, ())
        lapses = finder.lapses(entry.partition, document.summary.due, entry.source_topic, entry.source_offset)
        return Promised(promise, tuple(lapses))
    finally:
        finder.close()


def _member(found: Found) -> dict[str, Any]:
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in found.fields.items()}
    return shown | {"record": base64.b64encode(found.record).decode("ascii")}
