"""`exchange ledger` and `exchange witness`: the transparency log over the trace, and those who watch it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from exchange import metrics
from exchange.agencies import BACKBONE_CODE
from exchange.backbone.objects import Objects
from exchange.cli import attesting
from exchange.cli import world as worlds
from exchange.cli.output import NO, OUT, clock, print_json
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.errors import Misconfigured, Rejected
from exchange.ledger import cosigning
from exchange.ledger.checkpoint import open_checkpoint
from exchange.ledger.keys import ensure_key
from exchange.ledger.notes import COSIGNATURE, NoteKey, VerifierKey
from exchange.ledger.promises import PromiseWriter, Signing
from exchange.ledger.store import CHECKPOINT
from exchange.ledger.writer import LedgerWriter
from exchange.local.endpoint import endpoint

ledger = typer.Typer(
    no_args_is_help=True, help="The transparency log over the trace: its key, its state, its witnesses."
)
witness = typer.Typer(no_args_is_help=True, help="A witness: cosigns a ledger's checkpoints while they are consistent.")

StateFolder = Annotated[Path, typer.Option("--state", help="The witness's own folder: key and memory.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("write-ledger", hidden=True)(write)
    app.command("sign-promises", hidden=True)(promise)
    app.add_typer(ledger, name="ledger")
    app.add_typer(witness, name="witness")
    witness.command("serve")(attesting.serve_witness)
    app.add_typer(attesting.tsa, name="tsa")
    app.add_typer(attesting.trust, name="trust")


def folder_of(world: World) -> Objects:
    """Where the ledger lies."""
    return world.objects("ledger")


def key_of(world: World) -> NoteKey:
    """The home's log key, made when it is first asked for; Misconfigured before `exchange init`."""
    world.authority  # noqa: B018  the folder of keys is there
    state = world.home.state()
    return ensure_key(world.home.keys / "ledger.key", f"exchange/{state.cluster_id if state else 'ledger'}")


def verifier_key(text: str) -> VerifierKey:
    """A verifier key as given on the command line: itself, or the path of a file that holds it."""
    path = Path(text)
    if "+" in text or not path.is_file():
        return VerifierKey.parse(text)
    return VerifierKey.parse(path.read_text(encoding="utf-8"))


def write(context: typer.Context) -> None:
    """The writer: from the trace to signed checkpoints; whoever attests them is asked beside it."""
    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        figures = endpoint(world.home, "ledger", metrics.LEDGER, metrics.READER)
        with figures, attesting.attesting_beside(world, key_of(world).verifier):
            LedgerWriter(world.base, folder_of(world), key_of(world)).run(stop)

    run_to_its_end(work)


def promise(context: typer.Context) -> None:
    """Whoever gives the backbone's promises, and says which deadlines passed."""
    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        signing = Signing(world.authority.backbone.signing_key, BACKBONE_CODE)
        with endpoint(world.home, "promises", metrics.PROMISES, metrics.READER):
            PromiseWriter(world.base, signing).run(stop)

    run_to_its_end(work)


@ledger.command()
def key(context: typer.Context) -> None:
    """Print the key that verifies this ledger's checkpoints; publish it where nobody can change it unseen.

    Example: `exchange ledger key > ledger.vkey`
    """
    sys.stdout.write(f"{key_of(worlds.of(context)).verifier}\n")


@ledger.command()
def status(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the signed tree, and how long it has gone unseen by witnesses and time-stamps; exit 1 if too long.

    Example: `exchange ledger status`
    """
    world = worlds.of(context)
    folder, verifier = folder_of(world), key_of(world).verifier
    data, cosigned = folder.read(CHECKPOINT), folder.read(cosigning.COSIGNED)
    if data is None:
        raise Rejected("ledger.empty", "no checkpoint is signed yet; is `exchange run` running?")
    checkpoint = open_checkpoint(data, verifier)
    seen = 0 if cosigned is None else open_checkpoint(cosigned, verifier).size
    age_s, ages = folder.age_s(CHECKPOINT), attesting.ages_of(world, verifier)
    beyond = ages.beyond(attesting.LIMITS)
    if json:
        print_json(
            {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root, "age_s": age_s}
            | {"witnessed_size": seen, "unwitnessed_age_s": ages.unwitnessed_s, "unstamped_age_s": ages.unstamped_s}
            | {"beyond_limits": beyond}
        )  # fmt: skip
    else:
        OUT.print(f"{checkpoint.origin}: {checkpoint.size:,} events", highlight=False)
        OUT.print(f"  root {checkpoint.root.hex()}", highlight=False)
        OUT.print(f"  signed {clock(int((time.time() - age_s) * 1000))}", highlight=False)
        OUT.print(f"  witnessed up to {seen:,}" if seen else "  not witnessed", highlight=False)
        for word, unseen_s in (("unwitnessed", ages.unwitnessed_s), ("not time-stamped", ages.unstamped_s)):
            OUT.print(f"  {word} for {'ever' if unseen_s is None else f'{unseen_s:,.0f} s'}", highlight=False)
        attesting.warn(ages)
    if beyond:
        raise typer.Exit(NO)


@witness.command()
def init(
    name: Annotated[str, typer.Argument(help="The witness's name, like example.org/w1.")], state: StateFolder
) -> None:
    """Make a witness's key, unless it has one, and print the key that verifies its cosignatures.

    Example: `exchange witness init example.org/w1 --state witness`, then `exchange witness serve`
    """
    made = ensure_key(state / "witness.key", name, COSIGNATURE)
    if made.verifier.name != name:
        raise Misconfigured([f"{state} is the witness {made.verifier.name}"])
    sys.stdout.write(f"{made.verifier}\n")
