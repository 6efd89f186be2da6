"""`exchange backup`, `exchange restore`: the home in one file, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, clock, print_json, size
from exchange.cli.world import World
from exchange.errors import Misconfigured
from exchange.local.backup import SECRET_PARTS, back_up, restore
from exchange.local.progress import on_terminal

PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file whose first line seals, or opens, the keys.")
]
Json = Annotated[bool, typer.Option("--json")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore_home)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write it; must not be there.")],
    passphrase_file: PassphraseFile = None,
    without_keys: Annotated[bool, typer.Option("--without-keys", help="Leave the keys out; see below.")] = False,
    json: Json = False,
) -> None:
    """Write everything that the home holds into one file, while nothing of it runs (`exchange down`).

    The keys go along, sealed under a passphrase. --without-keys leaves them out: then keep `keys`, `archive-keys` and
    `witness` some other way, for without them nobody can speak as the registrar or the backbone, and the archive can't
    be read. What agencies said is in the file in clear.

    Example: `exchange backup /mnt/backup/2026-11-25 --passphrase-file /root/passphrase`
    """
    world = _embedded(worlds.of(context))
    if (passphrase_file is None) != without_keys:
        raise typer.BadParameter("--passphrase-file, or --without-keys: the keys are sealed or left out")
    with on_terminal(ERR) as report:
        made = back_up(world.home, file, _passphrase(passphrase_file), report)
    if json:
        print_json({**asdict(made), "file": str(file)})
    else:
        OUT.print(f"{', '.join(made.parts)}: {made.files:,} files, {size(made.bytes)}, in {file}.",
                  highlight=False, soft_wrap=True)  # fmt: skip
    if without_keys:
        ERR.print(
            f"[bold red]THE KEYS ARE NOT IN IT[/] ({', '.join(sorted(SECRET_PARTS))}). Without them a restored home "
            "can neither sign nor read its archive.",
            highlight=False,
            soft_wrap=True,
        )


def restore_home(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `exchange backup` wrote.")],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    """Bring back what is missing in the home; what is there stays. Then `exchange up`, `run`, `audit --deep`.

    Every byte is verified before anything gets its place. What came after the backup isn't in it: the deep audit names
    what a newer ledger or archive still tell of, and senders may send that again.

    Example: `exchange --home /srv/exchange restore /mnt/backup/2026-11-25 --passphrase-file /root/passphrase`
    """
    world = _embedded(worlds.of(context))
    with on_terminal(ERR) as report:
        found = restore(world.home, file, _passphrase(passphrase_file), report)
    if json:
        print_json(asdict(found))
    else:
        OUT.print(f"Restored as of {clock(found.made_ms)[:19]}: {', '.join(found.parts)}.",
                  highlight=False, soft_wrap=True)  # fmt: skip
    absent = [name for name in sorted(SECRET_PARTS) if not (world.home.folder / name).exists()]
    if absent:
        ERR.print(
            f"[bold red]NO KEYS[/]: {', '.join(absent)} are missing. Put them back before you start anything.",
            highlight=False,
            soft_wrap=True,
        )


def _embedded(world: World) -> World:
    if not world.is_embedded:
        raise Misconfigured(["a backup is of a home; a Kafka cluster of its own is backed up by its own means"])
    return world


def _passphrase(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.readline(10_000).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise Misconfigured([f"{file} can't be read: {exc}"]) from exc
