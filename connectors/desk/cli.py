"""`exchange desk`: pages on this machine for a clerk whose commune has no document system."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from connectors.shared.options import ERR, LOCAL_GATEWAY, OUT, Ca, Gateway, Metrics, at_gateway, need_extra

app = typer.Typer()


@app.callback(invoke_without_command=True, context_settings={"allow_interspersed_args": True})
def desk(
    code: Annotated[str, typer.Argument(help="Code of the agency.")],
    key: Annotated[
        Path | None, typer.Option(help="Folder with connector.key.pem or seal.key.pem; by default keys/CODE.")
    ] = None,
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    folder: Annotated[Path | None, typer.Option(help="Of its documents; by default .exchange/desk/CODE.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port on this machine.")] = 8482,
    metrics: Metrics = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page.")] = False,
) -> None:
    """Pages on this machine for a clerk whose agency has no document system, until Ctrl-C.

    Whoever has the printed address may use it, from this machine only.

    Example: `exchange desk H26.15.1 --key keys/H26.15.1`
    """
    try:
        from connectors.desk.clerk import Clerk
        from connectors.desk.serving import Desk
        from connectors.shared.figures import Figures
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "desk") from exc
    place = folder or Path(".exchange") / "desk" / code
    with at_gateway(code, key or Path("keys") / code, gateway, ca, place / "agency") as client:
        clerk = Clerk(client, place, Figures("desk"))
        try:
            one = Desk(clerk, port, metrics)
            OUT.print(one.url, highlight=False, soft_wrap=True)
            ERR.print("Open this address in a browser on this machine. Ctrl-C stops it.", highlight=False)
            if browser:
                webbrowser.open(one.url)
            asyncio.run(one.serve())
        finally:
            clerk.close()
