"""`exchange edxml`: packets inspected, imported, exported. Registers by the entry point group `exchange.commands`.

Light to import, for every command of `exchange` does: what needs the extra ``edxml`` is loaded by the command.
"""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from exchange.errors import Misconfigured

app = typer.Typer(no_args_is_help=True, help="edXML packets (QCVN 102:2016) of the national axis, in and out.")
OUT = Console()

PacketFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The packet.")]


def need_extra(exc: ModuleNotFoundError) -> Misconfigured:
    """What to say where the extra isn't installed."""
    return Misconfigured([f"{exc.name} is missing: install the extra `edxml` (pip install 'exchange-backbone[edxml]')"])


@app.command("inspect")
def inspect(
    file: PacketFile,
    json: Annotated[bool, typer.Option("--json", help="Everything that was read, as one JSON object.")] = False,
) -> None:
    """Read a packet and tell what it says; refused with a code (exit 1) if no reader should take it.

    Example: `exchange edxml inspect packet.edxml --json`
    """
    try:
        from connectors.edxml.packet import open_packet
        from connectors.edxml.showing import described, lines
    except ModuleNotFoundError as exc:
        raise need_extra(exc) from exc
    with TemporaryDirectory(prefix="edxml-") as folder:
        packet = open_packet(file, Path(folder))
        shown = described(packet)
    if json:
        print_json(shown)
        return
    for line in lines(shown):
        OUT.print(line, highlight=False, markup=False, soft_wrap=True)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(jsonlib.dumps(value, ensure_ascii=False, indent=2) + "\n")
