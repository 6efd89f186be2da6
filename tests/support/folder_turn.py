"""One turn of the folder connector, for `tests.support.killed`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.folder.connector import FolderConnector
from connectors.folder.limits import Limits
from connectors.shared.figures import Figures
from exchange import Agency


def turn(agency: Agency, root: Path, _: dict[str, Any]) -> None:
    """Send and place once."""
    connector = FolderConnector(agency, root, Figures("folder"), Limits(quiet_s=0))
    connector.turn()
    connector.close()
