"""Signatures inside PDF files, looked into on arrival and before sending, where the extra ``pdf`` is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from exchange.errors import Rejected
from exchange.sdk import Agency, pdf_signatures

IS_INSTALLED = find_spec("pyhanko") is not None


def found_in(agency: Agency, path: Path) -> list[dict[str, Any]] | None:
    """The signatures of a file, by the exchange's roots; None where nobody looked."""
    return [asdict(one) for one in agency.pdf_signatures(path)] if IS_INSTALLED else None


def require_unbroken(files: Sequence[tuple[str, Path]]) -> None:
    """Refuse to send a PDF whose own signature doesn't hold; Rejected ``pdf.signature_broken``."""
    if IS_INSTALLED:
        for name, path in files:
            broken = [one for one in pdf_signatures(path) if not one.holds]
            if broken:
                raise Rejected("pdf.signature_broken", f"{name}: {broken[0].problem}")
