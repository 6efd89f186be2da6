"""`exchange webhook`: what arrives is POSTed, signed, to the agency's own address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from exchange.errors import Misconfigured

if TYPE_CHECKING:
    from connectors.webhook.connector import Letterbox

app = typer.Typer(no_args_is_help=True, help="What arrives is POSTed, signed (RFC 9421), to the agency's own address.")

Folder = Annotated[Path | None, typer.Option(help="Of what is in line; by default .exchange/webhook/CODE.")]
Items = Annotated[list[str] | None, typer.Argument(help="Names or statement ids, as `list` shows them.")]


@app.command("key")
def key_(folder: Annotated[Path, typer.Argument(help="Folder for webhook.key.pem and webhook.pub.pem.")]) -> None:
    """Make the key that signs the posts (Ed25519); the receiver gets the public half.

    Example: `exchange webhook key keys/H26`
    """
    try:
        from connectors.webhook.signing import make_key
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "webhook") from exc
    OUT.print(f"Give the receiver {make_key(folder)}", highlight=False, soft_wrap=True)


@app.command("serve")
def serve(
    url: Annotated[str, typer.Argument(help="Where to POST.")],
    agency: Code,
    key: Key,
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    folder: Folder = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="A network that isn't public and may be posted to: 10.1.0.0/16.")
    ] = None,
    receiver_ca: Annotated[Path | None, typer.Option(help="PEM of the receiver's issuer.")] = None,
    metrics: Metrics = None,
) -> None:
    """Post what arrives for the agency, until Ctrl-C; each document is acknowledged once the receiver answered 2xx.

    Example: `exchange webhook serve https://hanoi.example/exchange --agency H26 --key keys/H26`
    """
    try:
        from connectors.shared.figures import Figures
        from connectors.shared.following import follow, stopping
        from connectors.webhook.connector import WebhookConnector
        from connectors.webhook.posting import Target
        from connectors.webhook.signing import KEY, Signer
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "webhook") from exc
    try:
        networks = tuple(ip_network(one) for one in allow or ())
    except ValueError as exc:
        raise Misconfigured([f"--allow: {exc}"]) from exc
    target = Target(url, networks, None if receiver_ca is None else str(receiver_ca))
    signer, figures, place = Signer(key / KEY), Figures("webhook"), folder or default_folder(agency)
    with at_gateway(agency, key, gateway, ca, place / "agency") as client, stopping() as stop:
        connector = WebhookConnector(client, place, target, signer, figures)
        ERR.print(f"Posting to {url}, signed by key {signer.key_id}. Ctrl-C stops it.", highlight=False, soft_wrap=True)

        def turn() -> bool:
            is_busy = connector.turn()
            if metrics is not None:
                figures.write(metrics)
            return is_busy

        try:
            follow(turn, stop, figures)
        finally:
            connector.close()


@app.command("list")
def list_(agency: Code, folder: Folder = None, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List what waits for the receiver and what it refused.

    Example: `exchange webhook list --agency H26`
    """
    with letterbox(agency, folder) as box:
        rows = [dict(row) for row in box.queue.listed("waiting", "posted", "dead")]
    if json:
        print_json(rows)
        return
    for row in rows:
        OUT.print(
            f"[bold]{row['name']}[/]  {row['state']} {row['code']}, {row['attempts']} attempts", highlight=False,
            soft_wrap=True,
        )  # fmt: skip


@app.command("replay")
def replay(
    agency: Code,
    items: Items = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that was refused.")] = False,
    since: Annotated[datetime | None, typer.Option(help="All that arrived since: the receiver lost it.")] = None,
    folder: Folder = None,
) -> None:
    """Post items again, in the order of their documents; a running `serve` does it. What was taken is kept 30 days.

    Example: `exchange webhook replay --agency H26 --dead`
    """
    with letterbox(agency, folder) as box:
        names = list(items or ())
        if dead:
            names += [row["name"] for row in box.queue.listed("dead")]
        if since is not None:
            since_ms = int(since.astimezone().timestamp() * 1000)
            names += [row["name"] for row in box.queue.listed("done", since_ms=since_ms, most=-1)]
        if not names:
            raise Misconfigured(["nothing to post: give names, --dead or --since"])
        for name in dict.fromkeys(names):
            box.replay(name)
    OUT.print(f"{len(dict.fromkeys(names))} to be posted again", highlight=False)


@app.command("skip")
def skip(agency: Code, items: Items = None, folder: Folder = None) -> None:
    """Let go of items that were refused, so that what was said later about their documents goes on.

    Example: `exchange webhook skip 20261125T…-document-… --agency H26`
    """
    with letterbox(agency, folder) as box:
        for name in items or ():
            box.skip(name)


def default_folder(code: str) -> Path:
    """Where a connector keeps what is in line."""
    return Path(".exchange") / "webhook" / code


@contextmanager
def letterbox(code: str, folder: Path | None) -> Iterator[Letterbox]:
    """What is in line, beside a running connector."""
    try:
        from connectors.shared.figures import Figures
        from connectors.webhook.connector import Letterbox
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "webhook") from exc
    place = folder or default_folder(code)
    if not (place / "book.sqlite").exists():
        raise Misconfigured([f"{place} holds nothing of a webhook connector"])
    box = Letterbox(place, Figures("webhook"))
    try:
        yield box
    finally:
        box.close()
