"""`exchange folder`: a folder beside a document system that knows files only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connectors.shared.options import (
    ERR,
    LOCAL_GATEWAY,
    OUT,
    Ca,
    Code,
    Gateway,
    Key,
    Metrics,
    at_gateway,
    need_extra,
    print_json,
)

app = typer.Typer(no_args_is_help=True, help="A folder: what is dropped is sent, what arrives lies there as files.")

Root = Annotated[Path, typer.Option("--root", help="The folder, with `out`, `in`, `sent` and `dead-letters`.")]


@app.command("serve")
def serve(
    agency: Code,
    key: Key,
    root: Root,
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    metrics: Metrics = None,
    once: Annotated[bool, typer.Option("--once", help="One turn, then end: for a scheduler.")] = False,
) -> None:
    """Send what is dropped in ROOT/out, and place what arrives in ROOT/in, until Ctrl-C.

    Example: `exchange folder serve --agency H26 --key keys/H26 --root post`
    """
    try:
        from connectors.folder.connector import FolderConnector
        from connectors.folder.serving import serve as serve_folder
        from connectors.shared.figures import Figures
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "folder") from exc
    figures = Figures("folder")
    with at_gateway(agency, key, gateway, ca, root / ".work" / "agency") as client:
        connector = FolderConnector(client, root, figures)
        try:
            if once:
                connector.turn()
            else:
                ERR.print(f"Drop files in {connector.out}. Ctrl-C stops it.", highlight=False, soft_wrap=True)
                serve_folder(connector, figures, metrics)
        finally:
            connector.close()
            if metrics is not None:
                figures.write(metrics)


@app.command("list")
def list_(root: Root, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List the dead letters: what couldn't be sent or placed, and why.

    Example: `exchange folder list --root post`
    """
    try:
        from connectors.shared.dead_letters import DeadLetters
        from connectors.shared.figures import Figures
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "folder") from exc
    found = DeadLetters(root / "dead-letters", Figures("folder")).listed()
    if json:
        print_json([{"name": name, **why} for name, why in found])
        return
    for name, why in found:
        OUT.print(f"[bold]{why['code']}[/]  {name}", highlight=False, soft_wrap=True)
        OUT.print(f"  {why['detail']}", highlight=False, markup=False, soft_wrap=True)
