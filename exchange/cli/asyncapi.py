"""`exchange asyncapi`: what may be written to Kafka directly, for machines."""

from __future__ import annotations

import typer

from exchange.backbone.asyncapi import document
from exchange.cli.output import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("asyncapi")(asyncapi)


def asyncapi() -> None:
    """Print the AsyncAPI 3 document of what large agencies may write to Kafka directly.

    Topics, keys, headers, schemas, limits, rights and quotas, made from the code; it is kept in docs/asyncapi.json.

    Example: `exchange asyncapi > docs/asyncapi.json`
    """
    print_json(document())
