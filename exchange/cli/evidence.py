"""`exchange evidence`: one file about one document, and the checklist by which a stranger verifies it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from exchange.backbone.accesses import Accesses
from exchange.backbone.folder import Folder
from exchange.cli import world as worlds
from exchange.cli.accountable import By, OptionalReason, access
from exchange.cli.ledger import folder_of, key_of, verifier_key
from exchange.cli.output import ERR, NO, OUT, clock, print_json, size
from exchange.cli.world import World
from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.ledger.evidence import (
    FAILED,
    GOOD,
    Anchors,
    Event,
    Exporter,
    Subject,
    Submission,
    Verdict,
    contents,
    is_bundle,
    read_bundle,
    renew,
    verify,
)
from exchange.ledger.evidence.archive import FILE_BYTES_MAX, unpack
from exchange.ledger.stamps import ask
from exchange.local.authority import DAY_MS
from exchange.local.founding import now_ms
from exchange.local.progress import Report, on_terminal
from exchange.views.erasing import with_erasings
from exchange.views.trace_path import Entry
from exchange.views.trace_path import Path as Way
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import Ambiguous, trace

WAIT_S, STAMP_WAIT_S = 15.0, 15.0
_POLL_S = 0.3

app = typer.Typer(no_args_is_help=True, help="Portable proof about one document: export it, verify it offline.")

_MARKS = {GOOD: "[green]✓[/]", FAILED: "[red]✗[/]"}
_WORDS = {
    "archive": "the archive is as the exchange writes it",
    "parts": "the manifest lists exactly these parts",
    "stamps": "each time-stamp covers all before it, and held until the next",
    "checkpoint": "the ledger's key signed the checkpoint",
    "witnesses": "the witnesses asked for cosigned it",
    "events": "every event is in the ledger",
    "acceptance": "the exchange took in this very statement",
    "certificates": "the certificates chain to the root, valid and unrevoked then",
    "signature": "the sender's signature is over the statement",
    "receipts": "every receipt is signed by its agency",
    "promises": "what the exchange promised of it, and of deadlines, is signed by it",
    "rest": "page and guide say what the proofs say",
}


_RESERVATIONS = {
    "stamp.none": "no time-stamp: all was judged as of now",
    "revocation.provisional": "revocation provisional: no list here is newer; export it again after the next",
    "certificate.ended": "a signer's certificate ended before the time-stamp: only the exchange says it was in time",
}

Digest = Literal["sha256", "sha384", "sha512"]

TrustOption = Annotated[list[Path], typer.Option(help="A root certificate, PEM; several are possible; or a bundle.")]
LedgerKeyOption = Annotated[str | None, typer.Option(help="The ledger's key, or a file with it; unless a bundle says.")]
WitnessKeysOption = Annotated[list[str] | None, typer.Option(help="A witness that must have cosigned.")]
StampRootsOption = Annotated[list[Path] | None, typer.Option(help="A root of time-stamps, PEM; else those of --trust.")]


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="evidence")


@app.command()
def export(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A document's, report's or status's id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    sender: Annotated[str | None, typer.Option(help="Needed only if several senders used the id.")] = None,
    thread: Annotated[str | None, typer.Option(help="Needed only if a sender used the id in several threads.")] = None,
    reason: OptionalReason = "",
    by: By = None,
) -> None:
    """Write everything that proves one document's way into one file. That you did is recorded first.

    Example: `exchange evidence export 0b7f6c1e-… -o evidence.zip`
    """
    world = worlds.of(context)
    try:
        way = trace(TraceStore(world.database_url), id_, sender, thread)
    except Ambiguous as exc:
        raise Rejected(exc.code, f"{exc.detail}; say which with --sender or --thread") from exc
    if way is None or way.document is None:
        raise Rejected("evidence.not_accepted", f"no document with the id {id_} was ever accepted")
    way = with_erasings(way, world.directory_log.directory.latest())
    for one in way.erasings:
        decided = f"{clock(one.decided_ms)} by {one.by} and {one.seconded_by}: {one.reason}"
        raise Rejected("evidence.erased", f"{id_} was erased, decided {decided}. Evidence exported before still holds.")
    Accesses(world.base).record(access("export", by, reason, id_), way.places())
    with on_terminal(ERR) as report:
        data = exported(world, way, report)
    Folder(output.absolute().parent).replace(output.name, data)
    if contents.CHECKPOINT_STAMP not in unpack(data):
        ERR.print("Not time-stamped: the authority didn't answer. Export it again later.", highlight=False)
    tell_how_to_verify(world, output, len(data))


def exported(world: World, way: Way, report: Report, wait_s: float = WAIT_S) -> bytes:
    """The evidence of an accepted document, once the ledger has taken in every event.

    Raises: Unavailable ``ledger.behind`` when it didn't within `wait_s`.
    """

    def earlier(topic: str, partition: int, offset: int) -> bytes | None:
        read = world.volumes.one(topic, partition, offset)
        return None if read is None else read.value

    report("Waiting for the ledger")
    exporter = Exporter(world.base, folder_of(world), key_of(world).verifier, world.directory_log.directory, earlier)
    return _patiently(exporter, subject_of(way), wait_s)


def tell_how_to_verify(world: World, file: Path, length: int) -> None:
    """Print the command for whoever is given the file."""
    OUT.print(f"{file}: {size(length)}. Verify it anywhere with", markup=False, highlight=False)
    OUT.print(f"  exchange evidence verify {file} --trust {root_of(world)} "
              f"--ledger-key {key_of(world).verifier}", markup=False, highlight=False, soft_wrap=True)  # fmt: skip


def root_of(world: World) -> Path:
    """The file of the root certificate that a stranger needs."""
    return world.home.keys / "root.crt.pem"


@app.command("verify")
def verify_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An evidence file.")],
    trust: TrustOption,
    ledger_key: LedgerKeyOption = None,
    witness_key: WitnessKeysOption = None,
    tsa_root: StampRootsOption = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Verify an evidence file, offline: needs no Kafka, no database, nobody's word. Exit 0 if it holds, else 1.

    Example: `exchange evidence verify evidence.zip --trust root.crt.pem --ledger-key ledger.vkey`
    """
    anchors = read_anchors(trust, ledger_key, witness_key, tsa_root)
    verdict = verify(_read(file), anchors, now_ms())
    if json:
        about = None if verdict.story is None else verdict.story.about
        steps = [{name: getattr(step, name) for name in step.__slots__} for step in verdict.steps]
        print_json({"holds": verdict.holds, "reservations": verdict.reservations, "document": about,
                    "renew_by_ms": verdict.renew_by_ms, "steps": steps})  # fmt: skip
    else:
        show(verdict)
    if not verdict.holds:
        raise typer.Exit(NO)


@app.command("renew")
def renew_(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Evidence files.")],
    trust: TrustOption,
    tsa: Annotated[str, typer.Option(envvar="EXCHANGE_TSA_URL", help="The address of a time-stamping authority.")],
    ledger_key: LedgerKeyOption = None,
    witness_key: WitnessKeysOption = None,
    tsa_root: StampRootsOption = None,
    within: Annotated[
        int | None, typer.Option(min=1, help="Leave alone what can be relied on for more days than this.")
    ] = None,
    digest: Annotated[Digest, typer.Option(help="Of what the stamp is over.")] = "sha256",
) -> None:
    """Add a time-stamp over all that evidence files hold, in place, before their last one comes to its end.

    Example: `exchange evidence renew archive/*.zip --trust trust.json --tsa https://tsa.example.org --within 365`
    """
    anchors = read_anchors(trust, ledger_key, witness_key, tsa_root)
    roots = [one.certificate for one in anchors.time_stamps]
    refused = 0
    with on_terminal(ERR) as report:
        for number, file in enumerate(files):
            report("Renewing", number, len(files))
            data = _read(file)
            before = verify(data, anchors, now_ms())
            due_ms = now_ms() + (within or 0) * DAY_MS
            if before.holds and within and before.renew_by_ms is not None and before.renew_by_ms > due_ms:
                continue
            try:
                made = renew(data, anchors, now_ms, lambda content, name: ask(tsa, content, roots, name=name), digest)
            except Rejected as exc:
                ERR.print(f"{file}: {exc}", markup=False, highlight=False)
                refused += 1
                continue
            Folder(file.absolute().parent).replace(file.name, made)
            until = clock(verify(made, anchors, now_ms()).renew_by_ms or 0)
            OUT.print(f"{file}: renewed, good until {until}", markup=False, highlight=False)
    if refused:
        raise typer.Exit(NO)


def subject_of(way: Way) -> Subject:
    """What to prove of a document's way: every event of it, and every signed status about it."""
    if way.document is None:
        raise Rejected("evidence.not_accepted", way.id)
    others = [way.document.entry, *way.duplicates, *way.rejections, *way.others]
    others += [related.entry for related in way.related]
    events = [_event(entry) for entry in others]
    events += [_event(step.entry)._replace(said=_submission(step.entry)) for step in way.steps]
    return Subject(_submission(way.document.entry), tuple(dict.fromkeys(events)))


def show(verdict: Verdict) -> None:
    """Print the checklist."""
    for step in verdict.steps:
        OUT.print(
            f"{_MARKS.get(step.state, '[dim]–[/]')} {step.number:2}. {_WORDS[step.name]}", highlight=False, end=""
        )
        note = f"{step.code}: {step.note}" if step.code else step.note
        OUT.print(f"  ({note})" if note else "", markup=False, highlight=False, style="dim")
    if verdict.holds and verdict.story is not None:
        about = verdict.story.about
        OUT.print(f"\nIt holds: {about['sender']} signed {about['id']}, and the exchange took it in.", markup=False)
        for reservation in verdict.reservations:
            OUT.print(f"  Left open: {_RESERVATIONS[reservation]} ({reservation})", markup=False, highlight=False)
        if verdict.renew_by_ms is not None:
            OUT.print(f"  Renew it before {clock(verdict.renew_by_ms)[:10]}.", markup=False, highlight=False)
    else:
        OUT.print("\nIt does NOT hold.", style="bold red")


def _patiently(exporter: Exporter, subject: Subject, wait_s: float) -> bytes:
    """Export once the ledger has taken in every event and a stamp covers them; after `STAMP_WAIT_S` without stamp."""
    deadline, unstamped_from = time.monotonic() + wait_s, 0.0
    while True:
        try:
            return exporter.export(subject, stamped=not 0 < unstamped_from < time.monotonic() - STAMP_WAIT_S)
        except Unavailable as exc:
            if exc.code == "ledger.unstamped":
                unstamped_from = unstamped_from or time.monotonic()
            elif exc.code != "ledger.behind" or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def read_anchors(
    trust: Sequence[Path], ledger_key: str | None, witnesses: Sequence[str] | None, stamp_roots: Sequence[Path] | None
) -> Anchors:
    """What the options say is trusted; Misconfigured."""
    data = [_bytes_of(path) for path in trust]
    if any(map(is_bundle, data)):
        if len(data) > 1 or ledger_key or witnesses or stamp_roots:
            raise Misconfigured(["a trust bundle says all that is trusted: give it alone"])
        return read_bundle(data[0])
    if ledger_key is None:
        raise Misconfigured(["--ledger-key is needed, unless --trust is a bundle"])
    stamps = [_root(path, _bytes_of(path)) for path in stamp_roots or ()]
    keys = [verifier_key(text) for text in witnesses or ()]
    return Anchors.plain(list(map(_root, trust, data)), verifier_key(ledger_key), keys, stamps)


def _read(file: Path) -> bytes:
    """An evidence file's bytes; nothing beyond the limit is read."""
    if file.stat().st_size > FILE_BYTES_MAX:
        raise Rejected("evidence.too_large", f"{file.stat().st_size} > {FILE_BYTES_MAX} bytes")
    return file.read_bytes()


def _event(entry: Entry) -> Event:
    return Event(entry.partition, entry.trace_offset, entry.trace_index)


def _submission(entry: Entry) -> Submission:
    return Submission(entry.source_topic, entry.partition, entry.source_offset, entry.directory_offset)


def _root(path: Path, data: bytes) -> bytes:
    try:
        return x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
    except ValueError as exc:
        raise Misconfigured([f"no certificate in {path}: {exc}"]) from exc


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise Misconfigured([f"{path} can't be read: {exc}"]) from exc
