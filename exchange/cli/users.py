"""`exchange user add | password | grant | revoke | close | list`: the accounts of the exchange's own people.

Guarantees: a password is asked for on the terminal or read from standard input, never an argument. Whoever may run this
holds the registrar's key, so may do everything; what was done is recorded, grants are signed entries of the directory.
"""

from __future__ import annotations

import getpass
import sys
from dataclasses import asdict
from typing import Annotated, get_args

import typer

from exchange.accounts.administering import Administering
from exchange.accounts.granting import grant, revoke
from exchange.accounts.passwords import CHARACTERS_MAX, CHARACTERS_MIN, Passwords
from exchange.accounts.permissions import effective
from exchange.accounts.store import AccountStore
from exchange.agencies import ROOT_CODE, Grant, RoleName
from exchange.backbone.actions import Actions
from exchange.cli import world as worlds
from exchange.cli.accountable import who
from exchange.cli.output import OUT, clock, print_json, table
from exchange.cli.world import World
from exchange.errors import Rejected

app = typer.Typer(no_args_is_help=True, help="The exchange's own people: accounts and roles.")

User = Annotated[str, typer.Argument(help="The account's name: letters, digits, and . _ @ - between.")]
Role = Annotated[str, typer.Argument(help=f"One of {', '.join(get_args(RoleName))}.")]
Scope = Annotated[str, typer.Option("--for", help="The unit that it counts for, with all below it.")]
Why = Annotated[str, typer.Option(help="Why; it is signed and kept for ever.")]
By = Annotated[str | None, typer.Option(help="Who does it; by default who is logged in.")]
Json = Annotated[bool, typer.Option("--json")]


@app.command("add")
def add(
    context: typer.Context,
    user: User,
    full_name: Annotated[str, typer.Option("--name", help="The person's name.")],
    openid: Annotated[
        str | None, typer.Option(help="Logs in at an OpenID provider instead: ISSUER SUBJECT, in one argument.")
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Make an account. The password is asked for, or is the first line of standard input.

    Example: `exchange user add an.nong --name "Nông Thị An"`
    """
    world = worlds.of(context)
    outside = None
    if openid is not None:
        issuer, _, subject = openid.partition(" ")
        if not issuer.startswith("https://") or not subject:
            raise typer.BadParameter("https://issuer and a subject, with a blank between", param_hint="--openid")
        outside = issuer, subject
    password = None if outside is not None else _password()
    account = _administering(world).add(user, full_name, who(by), password=password, openid=outside)
    if json:
        print_json({"name": account.name, "full_name": account.full_name, "created_ms": account.created_ms})
        return
    OUT.print(f"{account.name} may log in, and may do nothing yet: `exchange user grant {account.name} viewer`.",
              highlight=False, soft_wrap=True)  # fmt: skip


@app.command("password")
def password(context: typer.Context, user: User, by: By = None) -> None:
    """Give an account another password, and end its sessions.

    Example: `exchange user password an.nong`
    """
    world = worlds.of(context)
    _administering(world).set_password(user, _password(), who(by), world.directory_log.directory.latest())
    OUT.print("Done; its sessions are over.")


@app.command("close")
def close(context: typer.Context, user: User, by: By = None) -> None:
    """Let an account be used no more, from now on. Its name is never given again.

    Example: `exchange user close an.nong`
    """
    world = worlds.of(context)
    _administering(world).close(user, who(by), world.directory_log.directory.latest())
    OUT.print("Closed; its sessions are over.")


@app.command("grant")
def grant_role(
    context: typer.Context, user: User, role: Role, reason: Why, scope: Scope = ROOT_CODE, by: By = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Give an account a role, for a unit and all below it. An administrator can't be an auditor.

    Example: `exchange user grant an.nong auditor --for H26 --reason "audit plan 7/2026"`
    """
    world = worlds.of(context)
    if _store(world).account(user.strip().lower()) is None:
        raise Rejected("account.unknown", user)
    _tell(grant(world.registrar, user, _role(role), scope, reason, who(by)), json=json)


@app.command("revoke")
def revoke_role(
    context: typer.Context, user: User, role: Role, reason: Why, scope: Scope = ROOT_CODE, by: By = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Take a role away again; it counts within seconds, in sessions too.

    Example: `exchange user revoke an.nong auditor --for H26 --reason "left"`
    """
    _tell(revoke(worlds.of(context).registrar, user, _role(role), scope, reason, who(by)), json=json)


@app.command("list")
def list_users(context: typer.Context, json: Json = False) -> None:
    """List the accounts, and what each may do.

    Example: `exchange user list`
    """
    world = worlds.of(context)
    view = world.directory_log.directory.latest()
    accounts = _store(world).accounts()
    if json:
        print_json(
            [
                {
                    "name": one.name,
                    "full_name": one.full_name,
                    "login": "password" if one.issuer is None else one.issuer,
                    "created_ms": one.created_ms,
                    "closed_ms": one.closed_ms,
                    "grants": [asdict(grant) for grant in effective(view.grants(one.name))],
                }
                for one in accounts
            ]
        )
        return
    rows = [
        (one.name, one.full_name, ", ".join(f"{g.role} for {g.scope}" for g in effective(view.grants(one.name))),
         "" if one.closed_ms is None else f"closed {clock(one.closed_ms)[:10]}")
        for one in accounts
    ]  # fmt: skip
    table(f"{len(accounts):,} accounts", ("name", "person", "roles", ""), rows)


def _store(world: World) -> AccountStore:
    store = AccountStore(world.database_url)
    store.prepare()
    return store


def _administering(world: World) -> Administering:
    return Administering(_store(world), Actions(world.base), Passwords())


def _role(text: str) -> RoleName:
    for role in get_args(RoleName):
        if role == text:
            return role  # type: ignore[no-any-return]
    raise typer.BadParameter(f"{text} is none of {', '.join(get_args(RoleName))}", param_hint="ROLE")


def _password() -> str:
    """Asked for twice on a terminal; otherwise the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(CHARACTERS_MAX + 2).rstrip("\n")
    first = getpass.getpass(f"Password, {CHARACTERS_MIN} characters or more: ")
    if getpass.getpass("Once more: ") != first:
        raise typer.BadParameter("the two differ", param_hint="password")
    return first


def _tell(said: Grant, *, json: bool) -> None:
    if json:
        print_json(asdict(said))
        return
    verb = "is" if said.is_granted else "is no longer"
    OUT.print(f"{said.user} {verb} {said.role} for {said.scope} and all below it.", highlight=False, soft_wrap=True)
