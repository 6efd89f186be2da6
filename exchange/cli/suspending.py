"""`exchange agency suspend | resume`: two people's signed decision that a sender be silent, or speak again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from exchange.cli import world as worlds
from exchange.cli.accountable import who
from exchange.cli.output import OUT, print_json
from exchange.operating.deciding import Registrar
from exchange.operating.suspending import Decided, resume, suspend

Code = Annotated[str, typer.Argument(help="Any of the unit's codes.")]
Why = Annotated[str, typer.Option(help="Why; it is signed and kept for ever.")]
By = Annotated[str | None, typer.Option(help="Who decides; by default who is logged in.")]
SecondedBy = Annotated[str, typer.Option(help="Who agrees: somebody else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("suspend")(suspend_sender)
    app.command("resume")(resume_sender)


def suspend_sender(
    context: typer.Context,
    code: Code,
    reason: Why,
    seconded_by: SecondedBy,
    by: By = None,
    yes: Yes = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Let nothing be accepted that this unit says, from a few seconds from now on: documents, reports, receipts.

    What it said before stands, and it goes on receiving. Units below it aren't meant. What it says meanwhile is refused
    by `sender.suspended` and kept; the same bytes may be sent again once it is resumed.

    Example: `exchange agency suspend H26 --reason "key reported stolen" --by An --seconded-by Bình`
    """
    _decide(context, suspend, "Suspend", (code, reason, who(by), seconded_by), yes=yes, json=json)


def resume_sender(
    context: typer.Context,
    code: Code,
    reason: Why,
    seconded_by: SecondedBy,
    by: By = None,
    yes: Yes = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Let a suspended unit speak again.

    Example: `exchange agency resume H26 --reason "new key listed" --by An --seconded-by Bình`
    """
    _decide(context, resume, "Resume", (code, reason, who(by), seconded_by), yes=yes, json=json)


def _decide(
    context: typer.Context,
    decide: Callable[[Registrar, str, str, str, str], Decided],
    verb: str,
    texts: tuple[str, str, str, str],
    *,
    yes: bool,
    json: bool,
) -> None:
    world = worlds.of(context)
    if not yes:
        agency = world.directory_log.directory.latest().agency(texts[0])
        name = "an unknown unit" if agency is None else agency.name
        typer.confirm(f"{verb} {texts[0]}, {name}?", abort=True, err=True)
    decided = decide(world.registrar, *texts)
    if json:
        print_json({**asdict(decided.suspension), "directory_offset": decided.directory_offset})
        return
    state = "suspended" if decided.suspension.is_suspended else "resumed"
    OUT.print(f"{decided.suspension.code} is {state} from directory offset {decided.directory_offset:,} on.",
              highlight=False, soft_wrap=True)  # fmt: skip
