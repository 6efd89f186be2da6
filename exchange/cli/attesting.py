"""Who attests this ledger: the settings, what runs beside its writer, and `exchange tsa`, `witness serve`, `trust`.

Without settings, a world has a witness and a time-stamping authority of its own, inside the ledger's process: enough to
show everything, and proof to nobody. See docs/attesting.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Annotated

import structlog
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, explain
from exchange.cli.running import stop_on_signals
from exchange.cli.world import World
from exchange.errors import Misconfigured, Unavailable
from exchange.ledger.attesting import Ages, Attesting, AttestorServer, Limits, Stamping, Watcher, ages
from exchange.ledger.attesting.serving import TSA_PATH
from exchange.ledger.evidence import Anchors, write_bundle
from exchange.ledger.evidence.anchors import Key, root
from exchange.ledger.keys import ensure_key, read_key
from exchange.ledger.notes import COSIGNATURE, NoteKey, VerifierKey
from exchange.ledger.stamps import TimeStamper
from exchange.ledger.stamps.posting import address
from exchange.ledger.witness import Witness
from exchange.local.authority import Authority
from exchange.local.founding import now_ms
from exchange.signatures import SigningKey

LOCAL_EVERY_S = 5.0
LIMITS = Limits()

tsa = typer.Typer(no_args_is_help=True, help="A time-stamping authority (RFC 3161) for demos and tests.")
trust = typer.Typer(no_args_is_help=True, help="What a verifier of evidence trusts, as one file with dates.")

log = structlog.get_logger(__name__)


class Settings(BaseSettings):
    """Who attests, from the environment; everything unset: the world's own."""

    model_config = SettingsConfigDict(env_prefix="EXCHANGE_", frozen=True)

    tsa_url: str | None = Field(default=None, description="Address of a time-stamping authority.")
    tsa_root: Path | None = Field(default=None, description="Its root, PEM; unset: the world's own root.")
    tsa_policy: str | None = Field(default=None, description="Policy to ask for, a dotted OID.")
    witnesses: str = Field(default="", description="KEY=URL of each witness, between spaces.")
    witnesses_needed: int = Field(default=1, ge=1, description="So many must have cosigned.")
    attest_every_s: float | None = Field(
        default=None, ge=1, le=3600, description="Seconds; unset: 60, the world's own 5."
    )


def settings() -> Settings:
    """As the environment says; Misconfigured with all that is wrong."""
    try:
        found = Settings()
    except ValidationError as exc:
        problems = [f"EXCHANGE_{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in exc.errors()]
        raise Misconfigured(problems) from exc
    for url in [one.url for one in watchers(found)] + ([] if found.tsa_url is None else [found.tsa_url]):
        address(url)
    if found.witnesses and found.witnesses_needed > len(watchers(found)):
        raise Misconfigured([f"EXCHANGE_WITNESSES_NEEDED: {found.witnesses_needed} of {len(watchers(found))}"])
    return found


def own_witness(world: World) -> NoteKey:
    """The key of the world's own witness, made when it is first asked for."""
    state = world.home.state()
    name = f"witness/{state.cluster_id if state else 'exchange'}"
    return ensure_key(world.home.folder / "witness" / "witness.key", name, COSIGNATURE)


def own_stamper(world: World) -> TimeStamper:
    """The world's own time-stamping authority, by this machine's clock."""
    one = world.authority.stamps()
    return TimeStamper(SigningKey.of(one.private_key, one.certificate), one.certificate, now_ms)


@contextmanager
def attesting_beside(world: World, ledger: VerifierKey) -> Iterator[None]:
    """Attest the ledger in threads of this process while the block runs; raises afterwards what ended them."""
    found, ended, failures = settings(), Event(), list[Exception]()

    def attest(one: Attesting) -> None:
        try:
            one.run(ended)
        except Exception as exc:  # documents and the ledger flow on without it; the gauge shows it
            log.critical("ledger.attesting_stopped_by_a_bug", exc_info=True)
            failures.append(exc)

    with ExitStack() as stack:
        own = None
        if found.tsa_url is None or not found.witnesses:
            witness = Witness(world.home.folder / "witness", own_witness(world), [ledger])
            server = stack.enter_context(AttestorServer(("127.0.0.1", 0), witness, own_stamper(world)))
            own = f"http://127.0.0.1:{server.server_port}"
            _run_beside(stack, Thread(target=server.serve_forever, name="attestors"), server.shutdown)
        one = Attesting(
            world.objects("ledger"),
            ledger,
            Stamping(found.tsa_url or f"{own}{TSA_PATH}", (stamp_root(world, found),), found.tsa_policy),
            watchers(found) or [Watcher(own or "", own_witness(world).verifier)],
            found.witnesses_needed,
            found.attest_every_s or (60.0 if found.tsa_url or found.witnesses else LOCAL_EVERY_S),
            LIMITS,
        )
        _run_beside(stack, Thread(target=attest, args=(one,), name="attesting"), ended.set)
        yield
    if failures:
        raise failures[0]


def _run_beside(stack: ExitStack, thread: Thread, end: object) -> None:
    thread.start()
    stack.callback(thread.join)
    stack.callback(end)  # type: ignore[arg-type]


def stamp_root(world: World, found: Settings) -> bytes:
    """DER of the root that time-stamps must lead to."""
    if found.tsa_root is None:
        return world.authority.root_certificate
    try:
        return x509.load_pem_x509_certificate(found.tsa_root.read_bytes()).public_bytes(Encoding.DER)
    except (OSError, ValueError) as exc:
        raise Misconfigured([f"EXCHANGE_TSA_ROOT: {exc}"]) from exc


def watchers(found: Settings) -> list[Watcher]:
    """The witnesses of the settings."""
    made = []
    for text in found.witnesses.split():
        key, between, rest = text.partition("=http")
        if not between:
            raise Misconfigured([f"EXCHANGE_WITNESSES: no KEY=URL: {text[:200]!r}"])
        made.append(Watcher(f"http{rest}", VerifierKey.parse(key)))
    return made


def ages_of(world: World, ledger: VerifierKey) -> Ages:
    """How long the world's ledger has gone unseen."""
    return ages(world.objects("ledger"), ledger, now_ms() / 1000)


def warn(found: Ages) -> None:
    """Say on standard error what is beyond its limit."""
    said = {
        "ledger.unwitnessed": ("witness", found.unwitnessed_s),
        "ledger.unstamped": ("time-stamp", found.unstamped_s),
    }
    for code in found.beyond(LIMITS):
        who, age_s = said[code]
        explain(Unavailable(code, f"no {who} ever" if age_s is None else f"no {who} for {age_s:,.0f} s"))


def anchors_of(world: World, ledger: VerifierKey) -> Anchors:
    """All that a verifier of this world's evidence trusts, today."""
    found = settings()
    keys = [one.key for one in watchers(found)] or [own_witness(world).verifier]
    return Anchors(
        (root(world.authority.root_certificate),),
        (root(stamp_root(world, found)),),
        (Key(ledger),),
        tuple(map(Key, keys)),
        found.witnesses_needed,
    )


def serve(listen: str, witness: Witness | None, stamper: TimeStamper | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise Misconfigured([f"--listen is HOST:PORT, not {listen[:80]!r}"])
    stop = stop_on_signals()
    try:
        server = AttestorServer((host, int(port)), witness, stamper)
    except OSError as exc:
        raise Misconfigured([f"can't listen at {listen}: {exc}"]) from exc
    with server, ExitStack() as stack:
        _run_beside(stack, Thread(target=server.serve_forever, name="attestors"), server.shutdown)
        ERR.print(f"Listening at http://{host}:{server.server_port}. Ctrl-C stops it.", highlight=False)
        stop.wait()


ListenOption = Annotated[str, typer.Option(help="HOST:PORT.")]


@tsa.command("serve")
def serve_tsa(context: typer.Context, listen: ListenOption = "127.0.0.1:3161") -> None:
    """Grant time-stamps at /tsa by this machine's clock, under the demo's root. For demos and tests.

    Example: `exchange tsa serve`, then `exchange evidence renew FILE --tsa http://127.0.0.1:3161/tsa …`
    """
    serve(listen, None, own_stamper(worlds.of(context)))


def serve_witness(
    state: Annotated[Path, typer.Option("--state", help="The witness's own folder: key and memory.")],
    ledger: Annotated[list[str], typer.Option("--log", help="A ledger's key; several are possible.")],
    listen: ListenOption = "127.0.0.1:3162",
) -> None:
    """Cosign checkpoints over HTTP (C2SP tlog-witness) while they are consistent.

    Example: `exchange witness serve --state witness --log "$(cat ledger.vkey)" --listen 0.0.0.0:3162`
    """
    key = read_key(state / "witness.key", COSIGNATURE)
    serve(listen, Witness(state, key, [VerifierKey.parse(text) for text in ledger]), None)


@trust.command("export")
def export(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; else standard output.")] = None,
) -> None:
    """Write what a verifier of this world's evidence trusts (docs/trust-bundle.md).

    Example: `exchange trust export -o trust.json`
    """
    from exchange.cli.ledger import key_of

    world = worlds.of(context)
    data = write_bundle(anchors_of(world, key_of(world).verifier), now_ms())
    if output is None:
        sys.stdout.write(data.decode())
    else:
        output.write_bytes(data)
        OUT.print(f"{output}: verify with --trust {output}", markup=False, highlight=False)


def has_keys(world: World) -> bool:
    """Whether `exchange init` has made the world's keys."""
    return Authority.exists(world.home.keys)
