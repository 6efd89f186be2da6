"""The ledger's files, as an auditor reads them, whatever store they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

WIDTH = 256

_NUMBERED = re.compile(r"(tile/[0-7]|tile/entries|places)/((?:x\d{3}/)*\d{3})(?:\.p/(\d{1,3}))?")


class Files(Protocol):
    """Read-only. Raises, from both: Unavailable."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None if there is none."""
        ...

    def walk(self, path: str) -> Iterator[str]:
        """The names of all files anywhere below `path`; ``""`` for all there are."""
        ...


class Piece(NamedTuple):
    """A tile or bundle by its name. `series`: ``tile/0`` … ``tile/7``, ``tile/entries``, ``places``."""

    series: str
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies (C2SP tlog-tiles)."""
        groups = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            groups.append(f"x{rest % 1000:03d}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"{self.series}/{'/'.join(reversed(groups))}{partial}"


def piece_of(path: str) -> Piece | None:
    """The tile or bundle with that path; None if it is no such path, or another spelling of one."""
    match = _NUMBERED.fullmatch(path)
    if match is None:
        return None
    series, digits, width = match.groups()
    found = Piece(series, int(digits.replace("/", "").replace("x", "")), int(width) if width else WIDTH)
    return found if found.path == path and 0 < found.width <= WIDTH else None
