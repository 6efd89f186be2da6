"""`exchange throughput`: what passed between the levels, or in a part of the tree of agencies, by window."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from exchange.agencies import DirectoryView, Level
from exchange.cli import world as worlds
from exchange.cli.output import ERR, NO, OUT, Json, print_json
from exchange.cli.throughput_drawn import as_json, below_as_json, below_drawn, drawn
from exchange.cli.units import units
from exchange.errors import Rejected
from exchange.local.progress import on_terminal
from exchange.views.throughput import SIZES, TREE_SIZES, ThroughputStore, report, tree_report
from exchange.views.throughput.rebuilding import rebuild

WATCH_S = 1.0
_LEVELS = tuple(level.label for level in Level)


_TREE_WORDS = " or ".join(TREE_SIZES)


def _window(name: str | None) -> str | None:
    return None if name is None else _one_of(SIZES, name)


def _level(label: str | None) -> str | None:
    return None if label is None else _one_of(_LEVELS, label)


def _one_of(choices: tuple[str, ...], chosen: str) -> str:
    if chosen not in choices:
        raise typer.BadParameter(f"{chosen!r} is none of {', '.join(choices)}")
    return chosen


_Window = Annotated[
    str | None, typer.Option(callback=_window, help=f"How long a window is: {', '.join(SIZES)}.", show_default=SIZES[0])
]
_From = Annotated[str | None, typer.Option(callback=_level, help=f"Only what this level sent: {', '.join(_LEVELS)}.")]
_To = Annotated[str | None, typer.Option(callback=_level, help="Only what this level was sent.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    throughput = typer.Typer(invoke_without_command=True)
    throughput.callback()(show)
    throughput.command("rebuild")(rebuild_rows)
    throughput.command("units")(units)
    app.add_typer(throughput, name="throughput")


def show(
    context: typer.Context,
    window: _Window = None,
    from_level: _From = None,
    to_level: _To = None,
    subtree: Annotated[
        str | None, typer.Option(metavar="CODE", help=f"Instead: all at and below this agency, by {_TREE_WORDS}.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and follow until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what passed between the levels: the newest window as a matrix, how long the hop and receipts took, the last
    sixty windows as sparklines.

    Exits with 1 if nothing is counted yet, or if the sums have a gap, which is then named.

    Example: `exchange throughput --watch` · `exchange throughput --window hour --from-level province` ·
    `exchange throughput --subtree H26 --window day`
    """
    if context.invoked_subcommand is not None:
        return
    world = worlds.of(context)
    look = _look(ThroughputStore(world.database_url), window, from_level, to_level)
    if subtree is not None:
        if from_level is not None or to_level is not None:
            raise typer.BadParameter(
                "levels are counted in the matrix, not in a part of the tree", param_hint="--subtree"
            )
        view = world.directory_log.directory.latest()
        look = _look_below(ThroughputStore(world.database_url), window, view, subtree)
    if watch:
        with Live(console=OUT, auto_refresh=False) as live:
            while True:
                live.update(look().drawn, refresh=True)
                time.sleep(WATCH_S)
    seen = look()
    if json:
        print_json(seen.json)
    else:
        OUT.print(seen.drawn, highlight=False)
    if not seen.is_whole:
        raise typer.Exit(NO)


def rebuild_rows(context: typer.Context) -> None:
    """Count all deltas again, compare with the rows row for row, and put the new ones in their place.

    Exits with 1 if the rows differed.

    Example: `exchange throughput rebuild`
    """
    world = worlds.of(context)
    with on_terminal(ERR) as report_progress:
        report_progress("Counting the deltas again")
        rebuilt = rebuild(world.base, world.database_url)
    OUT.print(f"{rebuilt.deltas:,} deltas counted again, {rebuilt.closed:,} windows closed.", highlight=False)
    if rebuilt.differences is None:
        OUT.print("There were no rows before.")
    elif rebuilt.differences:
        for line in rebuilt.differences:
            OUT.print(f"  {line}", markup=False, highlight=False)
        OUT.print("The rows differed; those that were counted again are in their place.")
        raise typer.Exit(NO)
    else:
        OUT.print("The same, row for row.")


class _Seen(NamedTuple):
    """One look. `is_whole`: something is counted, and nothing is missing."""

    drawn: RenderableType
    json: Json | None
    is_whole: bool


_NOTHING = _Seen(Text("Nothing is counted yet: is `exchange run` running?"), None, is_whole=False)


def _look(
    store: ThroughputStore, window: str | None, from_level: str | None, to_level: str | None
) -> Callable[[], _Seen]:
    senders = [level for level in Level if from_level is None or level.label == from_level]
    recipients = [level for level in Level if to_level is None or level.label == to_level]

    def look() -> _Seen:
        found = report(store, window or SIZES[0])
        if found is None:
            return _NOTHING
        return _Seen(drawn(found, senders, recipients), as_json(found, senders, recipients), not found.gaps)

    return look


def _look_below(store: ThroughputStore, window: str | None, view: DirectoryView, code: str) -> Callable[[], _Seen]:
    size = window or TREE_SIZES[0]
    if size not in TREE_SIZES:
        raise typer.BadParameter(f"a part of the tree is counted by {_TREE_WORDS}", param_hint="--window")
    agency = view.agency(code)
    if agency is None:
        raise Rejected("agency.unknown", code[:40])
    if agency.level is Level.COMMUNE:
        raise typer.BadParameter(
            f"{agency.code} is a commune, counted with all below its parent", param_hint="--subtree"
        )

    def look() -> _Seen:
        found = tree_report(store, size, agency.code)
        if found is None:
            return _NOTHING
        return _Seen(below_drawn(found, view), below_as_json(found), not found.gaps)

    return look
