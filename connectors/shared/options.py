"""What the connectors' commands have in common: options, the agency at its gateway, JSON on standard output.

Light to import, for every command of `exchange` does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from exchange.errors import Misconfigured

if TYPE_CHECKING:
    from exchange.sdk import Agency

OUT, ERR = Console(), Console(stderr=True)
LOCAL_GATEWAY = "http://127.0.0.1:8480"
PATIENCE_S = 5.0
"""With the gateway; what waits is tried again in the next turn."""

Code = Annotated[str, typer.Option("--agency", help="Code of the agency.")]
Key = Annotated[Path, typer.Option(help="Folder with connector.key.pem and connector.crt.pem, or those of the seal.")]
Gateway = Annotated[str, typer.Option(envvar="EXCHANGE_GATEWAY", help="Where the exchange is.")]
Ca = Annotated[Path | None, typer.Option(help="PEM of the gateway's issuer, if the system has it not.")]
Metrics = Annotated[Path | None, typer.Option(help="File for Prometheus' textfile collector.")]


@contextmanager
def at_gateway(
    code: str, key: Path, gateway: str, ca: Path | None, folder: Path, patience_s: float = PATIENCE_S
) -> Iterator[Agency]:
    """The agency, by its connector's key where the folder has one, else by its seal."""
    from exchange.sdk import Agency, load_decryption_keys, load_key

    name = "connector" if (key / "connector.crt.pem").exists() else "seal"
    with Agency(
        code, load_key(key, name), gateway, folder=folder, ca=ca, patience_s=patience_s,
        decryption_keys=load_decryption_keys(key),
    ) as agency:  # fmt: skip
        yield agency


def need_extra(exc: ModuleNotFoundError, extra: str) -> Misconfigured:
    """What to say where an extra isn't installed."""
    return Misconfigured(
        [f"{exc.name} is missing: install the extra `{extra}` (pip install 'exchange-backbone[{extra}]')"]
    )


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
