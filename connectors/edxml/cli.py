"""`exchange edxml`: packets inspected, imported, exported. Registers by the entry point group `exchange.commands`.

Light to import, for every command of `exchange` does: what needs the extra ``edxml`` is loaded by the command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import Progress, TaskID

from connectors.shared.options import (
    ERR,
    LOCAL_GATEWAY,
    OUT,
    Ca,
    Code,
    Gateway,
    Key,
    at_gateway,
    need_extra,
    print_json,
)
from exchange.errors import Rejected

if TYPE_CHECKING:
    from connectors.edxml.connector import Connector

app = typer.Typer(no_args_is_help=True, help="edXML packets (QCVN 102:2016) of the national axis, in and out.")
PacketFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The packet.")]

Folder = Annotated[Path | None, typer.Option(help="Of the connector's book; by default .exchange/edxml/CODE.")]
LeaderId = Annotated[str | None, typer.Option(help="A leader who signs too; the key is LEADER.key.pem in the folder.")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="Take lower-case codes, as sandboxes use.")]
KINDS: tuple[Literal["edoc"], Literal["status"]] = ("edoc", "status")
FOREVER_MS, LISTED = 1 << 62, 100
PATIENCE_S, SERVING_PATIENCE_S = 20.0, 5.0
Sha1 = Annotated[bool, typer.Option("--allow-sha1", help="Take packets whose XML signatures use SHA-1.")]


@app.command("inspect")
def inspect(
    file: PacketFile,
    json: Annotated[bool, typer.Option("--json", help="Everything that was read, as one JSON object.")] = False,
) -> None:
    """Read a packet and tell what it says; refused with a code (exit 1) if no reader should take it.

    Example: `exchange edxml inspect packet.edxml --json`
    """
    try:
        from connectors.edxml.packet import open_packet
        from connectors.edxml.showing import described, lines
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "edxml") from exc
    with TemporaryDirectory(prefix="edxml-") as folder:
        packet = open_packet(file, Path(folder))
        shown = described(packet)
    if json:
        print_json(shown)
        return
    for line in lines(shown):
        OUT.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command("verify")
def verify(
    file: PacketFile,
    allow_sha1: Annotated[bool, typer.Option("--allow-sha1", help="Take old signatures with SHA-1.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Verify a packet's XML signature with the certificate in it; exit 1 if it doesn't verify or there is none.

    Whose the certificate is, and whether it is good, this doesn't say.

    Example: `exchange edxml verify packet.edxml`
    """
    try:
        from connectors.edxml.packet import open_packet
        from connectors.edxml.signing import verify as verified
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "edxml") from exc
    with TemporaryDirectory(prefix="edxml-") as folder:
        found = verified(file, open_packet(file, Path(folder)), sha1=allow_sha1)
    if found is None:
        raise Rejected("edxml.signature_missing", f"{file} has no signature")
    shown = {
        "certificate": found.fingerprint.hex(),
        "subject": found.certificate.subject.rfc4514_string(),
        "not_after": found.certificate.not_valid_after_utc.isoformat(),
        "algorithm": found.algorithm,
        "over": "the whole packet" if found.is_whole else "message and attachments",
        "restored": found.is_restored,
    }
    if json:
        print_json(shown)
        return
    for name, value in shown.items():
        OUT.print(f"{name:12} {value}", highlight=False, markup=False, soft_wrap=True)


@app.command("sign")
def sign(
    file: PacketFile,
    target: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write the signed packet.")],
    key: Key,
    name: Annotated[str, typer.Option(help="Whose key of the folder: seal, or a leader's id.")] = "seal",
) -> None:
    """Sign a packet's message and attachments with XML-DSig (RSA or ECDSA, SHA-256).

    Example: `exchange edxml sign packet.edxml signed.edxml --key keys/H26`
    """
    try:
        from connectors.edxml.limits import Limits
        from connectors.edxml.signing import load_certificate
        from connectors.edxml.signing import sign as signed
        from exchange.sdk import load_key
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "edxml") from exc
    signed(file, target, load_key(key, name), load_certificate(key / f"{name}.crt.pem"), Limits())


@app.command("import")
def import_(
    file: PacketFile,
    agency: Code,
    key: Key,
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    folder: Folder = None,
    leader: LeaderId = None,
    sandbox: Sandbox = False,
    allow_sha1: Sha1 = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Send a packet's document or status as a statement signed by the agency; the same again counts once.

    Example: `exchange edxml import packet.edxml --agency H26 --key keys/H26`
    """
    with connected(agency, key, gateway, ca, folder, leader, sandbox, allow_sha1) as connector, bars() as told:
        sent = connector.send(file, told)
    if json:
        print_json(sent._asdict())
    else:
        OUT.print(f"[bold]{sent.doc_id}[/]  {sent.kind} {sent.number}: {sent.state}", highlight=False)


@app.command("list")
def list_(
    agency: Code,
    key: Key,
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    folder: Folder = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Take in what arrived, and list the newest packets for the agency.

    Example: `exchange edxml list --agency H26 --key keys/H26`
    """
    with connected(agency, key, gateway, ca, folder) as connector:
        connector.receive()
        found = [row for kind in KINDS for row in connector.book.received_list(kind, 0, FOREVER_MS, LISTED, 0)]
    if json:
        print_json([row._asdict() for row in found])
        return
    for row in found:
        OUT.print(f"[bold]{row.doc_id}[/]  {row.kind} {row.number} from {row.sender}: {row.subject}", highlight=False)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write the packet.")],
    doc_id: Annotated[str, typer.Option("--id", help="The packet's id, as `exchange edxml list` shows it.")],
    agency: Code,
    key: Key,
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    folder: Folder = None,
) -> None:
    """Write what arrived for the agency as a packet: the sender's own, byte for byte, where it came as one.

    Example: `exchange edxml export packet.edxml --id 5f0c… --agency H26 --key keys/H26`
    """
    with connected(agency, key, gateway, ca, folder) as connector:
        if connector.book.received(doc_id) is None:
            connector.receive()
        draft = file.with_name(f"{file.name}.part")
        copyfile(connector.packet(doc_id), draft)
        draft.replace(file)


@app.command("secret")
def secret(
    system_id: Annotated[str, typer.Argument(help="As the document system sends it in X-SystemId.")],
    secrets: Annotated[Path, typer.Option(help="The file, which holds hashes only.")],
) -> None:
    """Set the secret of a document system; it is asked for, or read from standard input.

    Example: `exchange edxml secret H37.DN.001 --secrets secrets.json`
    """
    try:
        from connectors.edxml.face.secrets import enter
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "edxml") from exc
    if sys.stdin.isatty():
        text = typer.prompt("X-SecretKey", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    enter(secrets, system_id, text)
    ERR.print(f"{system_id} may use the face now; a running one must be started again.", highlight=False)


@app.command("serve")
def serve(
    agency: Code,
    key: Key,
    secrets: Annotated[Path, typer.Option(help="Who may use it: see `exchange edxml secret`.")],
    gateway: Gateway = LOCAL_GATEWAY,
    ca: Ca = None,
    folder: Folder = None,
    leader: LeaderId = None,
    sandbox: Sandbox = False,
    allow_sha1: Sha1 = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8481,
    host: Annotated[str, typer.Option(help="Address to listen on; another than this needs TLS.")] = "127.0.0.1",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
) -> None:
    """Serve document systems as a provincial axis does, until Ctrl-C: sendEdoc, getReceivedEdocList, getEdoc …

    Example: `exchange edxml serve --agency H26 --key keys/H26 --secrets secrets.json`
    """
    try:
        from connectors.edxml.face import Listening
        from connectors.edxml.face import serve as serve_face
        from connectors.edxml.face.secrets import Secrets
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "edxml") from exc
    listening, known = Listening(port, host, tls_cert, tls_key), Secrets(secrets)
    with connected(agency, key, gateway, ca, folder, leader, sandbox, allow_sha1, SERVING_PATIENCE_S) as connector:
        ERR.print(f"The face is at {listening.url}. Ctrl-C stops it.", highlight=False, soft_wrap=True)
        serve_face(connector, known, listening)


@contextmanager
def connected(
    agency: str,
    key: Path,
    gateway: str,
    ca: Path | None,
    folder: Path | None,
    leader: str | None = None,
    sandbox: bool = False,
    sha1: bool = False,
    patience_s: float = PATIENCE_S,
) -> Iterator[Connector]:
    """The connector of an agency, until the block ends. `patience_s`: with the gateway."""
    try:
        from connectors.edxml.connector import Connector, Leading
        from exchange.sdk import load_key
    except ModuleNotFoundError as exc:
        raise need_extra(exc, "edxml") from exc
    place = folder or Path(".exchange") / "edxml" / agency
    leading = None if leader is None else Leading(leader, load_key(key, leader))
    with (
        at_gateway(agency, key, gateway, ca, place / "agency", patience_s) as client,
        Connector(client, place, leading=leading, sandbox=sandbox, sha1=sha1) as connector,
    ):
        yield connector


@contextmanager
def bars() -> Iterator[Any]:
    """Progress on the terminal, a bar a step."""
    with Progress(console=ERR, transient=True) as progress:
        steps: dict[str, TaskID] = {}

        def told(step: str, done: int, total: int) -> None:
            if step not in steps:
                steps[step] = progress.add_task(step, total=total)
            progress.update(steps[step], completed=done, total=total)

        yield told
