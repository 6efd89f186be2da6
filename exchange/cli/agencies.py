"""`exchange agency list | show | tree`, `suspend | resume`: the units of the directory."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.tree import Tree

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.agencies.resolution import is_open
from exchange.agencies.view import DirectoryView
from exchange.cli import admitting, suspending
from exchange.cli import world as worlds
from exchange.cli.output import NO, OUT, VIETNAM, Json, print_json, table
from exchange.local.issuing import Issued

app = typer.Typer(no_args_is_help=True, help="The units of the state that may send and receive.")
admitting.register(app)
suspending.register(app)

LEVELS = {level.label: level for level in Level}


@app.command("list")
def list_agencies(
    context: typer.Context,
    level: Annotated[str | None, typer.Option(help=f"One of {', '.join(LEVELS)}.")] = None,
    under: Annotated[str | None, typer.Option(help="Only units right below this code.")] = None,
    find: Annotated[str, typer.Option(help="Only names that contain this.")] = "",
    suspended: Annotated[bool, typer.Option("--suspended", help="Only those that are suspended.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """List units.

    Example: `exchange agency list --level province` · `exchange agency list --under H26`
    """
    if level is not None and level not in LEVELS:
        raise typer.BadParameter(f"{level} is not one of {', '.join(LEVELS)}", param_hint="--level")
    view = worlds.of(context).directory_log.directory.latest()
    source = view.children(_known(view, under).code) if under else view.agencies()
    if suspended:
        silenced = {one.code for one in view.suspensions()}
        source = (agency for agency in source if agency.code in silenced)
    found = [
        agency
        for agency in source
        if (level is None or agency.level is LEVELS[level]) and find.casefold() in agency.name.casefold()
    ]
    if json:
        print_json([_fields(agency) for agency in found[:limit]])
        return
    rows = [(a.code, a.level.label, a.form, a.name, a.parent or "") for a in found[:limit]]
    table(f"{len(found):,} units" + (f", the first {limit}" if len(found) > limit else ""),
          ("code", "level", "form", "name", "parent"), rows)  # fmt: skip


@app.command("show")
def show(context: typer.Context, code: str, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show one unit by any of its codes: old or new, open or closed.

    Example: `exchange agency show H26` · `exchange agency show 000.00.00.H26`
    """
    world = worlds.of(context)
    view = world.directory_log.directory.latest()
    agency = _known(view, code)
    certificates = world.authority.issued(agency.code)
    fields = _fields(agency) | {
        "suspended": None if (silenced := view.suspension(agency.code)) is None
        else f"by {silenced.by} and {silenced.seconded_by}: {silenced.reason}",
        "ancestors": [above.code for above in view.ancestors(agency.code)],
        "children": len(view.children(agency.code)),
        "certificates": [
            {"sha256": c.fingerprint.hex(), "leader": c.leader,
             "listed": view.certificate(c.fingerprint) is not None}
            for c in certificates
        ],
    }  # fmt: skip
    if json:
        print_json(fields)
        return
    for name, value in fields.items():
        lines = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        if value in (None, []):
            lines = ["–"]
        if name == "certificates":
            lines = [f"{c.fingerprint.hex()} {_whose(c)}" for c in certificates]
        for number, text in enumerate(lines):
            OUT.print(f"[bold]{'' if number else name:>12}[/]  {text}", highlight=False, soft_wrap=True)


@app.command("tree")
def tree(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Where to begin.")] = "G00",
    depth: Annotated[int, typer.Option(min=1, max=4)] = 1,
) -> None:
    """Draw the units below one.

    Example: `exchange agency tree H26 --depth 2`
    """
    view = worlds.of(context).directory_log.directory.latest()
    top = _known(view, code)
    drawn = Tree(f"[bold]{top.code}[/] {top.name}")
    _grow(drawn, view, top, depth)
    OUT.print(drawn, highlight=False)


def _grow(branch: Tree, view: DirectoryView, above: Agency, depth: int) -> None:
    today = datetime.now(VIETNAM).date()
    for agency in view.children(above.code):
        closed = "" if is_open(agency, today) else " [dim](closed)[/]"
        twig = branch.add(f"{agency.code} {agency.name}{closed}")
        if depth > 1:
            _grow(twig, view, agency, depth - 1)


def _known(view: DirectoryView, code: str) -> Agency:
    agency = view.agency(code)
    if agency is None:
        OUT.print(f"No unit has the code {code}. Try `exchange agency list --find NAME`.", markup=False)
        raise typer.Exit(NO)
    return agency


def _fields(agency: Agency) -> Json:
    return {
        "code": agency.code,
        "name": agency.name,
        "level": agency.level.label,
        "form": agency.form,
        "parent": agency.parent,
        "other_codes": list(agency.other_codes),
        "valid_from": str(agency.valid_from),
        "valid_to": None if agency.valid_to is None else str(agency.valid_to),
        "successors": list(agency.successors),
    }


def _whose(one: Issued) -> str:
    return f"leader {one.leader}" if one.leader else "connector" if one.is_connector else "seal"
