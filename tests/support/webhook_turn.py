"""Turns of the webhook connector until nothing is due, for `tests.support.killed`."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from connectors.shared.figures import Figures
from connectors.webhook.connector import WebhookConnector
from connectors.webhook.posting import Target
from connectors.webhook.signing import Signer
from exchange import Agency


def turn(agency: Agency, root: Path, asked: dict[str, Any]) -> None:
    """Take in what arrived and post it."""
    target = Target(asked["url"], (ip_network("127.0.0.0/8"),))
    connector = WebhookConnector(agency, root, target, Signer(Path(asked["signer"])), Figures("webhook"))
    connector.turn()
    connector.post_due()
    connector.close()
