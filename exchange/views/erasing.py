"""What of a document was erased, by whom, when and why: the directory's decisions, beside what the trace tells."""

from __future__ import annotations

from dataclasses import replace

from exchange.agencies import DirectoryView
from exchange.views.trace_path import Erasing, Path


def with_erasings(path: Path, view: DirectoryView) -> Path:
    """The path with the decisions to erase its document, carried out or not."""
    done = {entry.source_offset: entry.hop_ms for entry in path.others if entry.outcome == "erased"}
    erasings = tuple(
        Erasing(offset, one.version, one.by, one.seconded_by, one.reason, len(one.statements), done.get(offset))
        for offset, one in view.erasures()
        if one.id == path.id and path.sender in {None, one.sender} and path.thread in {None, one.thread}
    )
    return replace(path, erasings=erasings)
