"""Looking at what was dropped: which names belong together, what is whole, what can't be taken.

Guarantees: nothing is followed or opened but regular files of this very folder; a file that somebody still has open for
writing isn't taken (Linux, local file systems: asked of the kernel by a lease, fcntl(2) F_SETLEASE), nor one that
changed within `quiet_s`. Names that begin with a dot or end as drafts do are never looked at.
"""

from __future__ import annotations

import errno
import fcntl
import heapq
import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path

from connectors.folder.limits import Limits
from connectors.folder.sidecar import Order, by_name, is_sidecar, named, read
from exchange.errors import Rejected

DRAFTS = (".part", ".tmp", ".crdownload", ".filepart", ".partial", ".swp", "~")


@dataclass(frozen=True, slots=True)
class Drop:
    """What belongs together. `names`: of all its files, the sidecar too; `refused`: why it can't be taken, if so."""

    names: list[str]
    order: Order | None
    refused: Rejected | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    mode: int
    size: int
    changed_s: float


def look(folder: Path, limits: Limits, now_s: float) -> list[Drop]:
    """What can be dealt with now, the oldest first."""
    seen = {one.name: one for one in _oldest(folder, limits.at_a_time)}
    drops: list[Drop] = []
    sidecars = [name for name in seen if is_sidecar(name)]
    taken = {named(name) for name in sidecars}
    for name in [*sidecars, *(name for name in seen if not is_sidecar(name))]:
        if name in taken:
            continue
        drop = _drop(folder, seen[name], limits, now_s)
        if drop is not None:
            taken.update(drop.names)
            drops.append(drop)
    return drops


def is_written(path: Path) -> bool:
    """Whether somebody has the file open for writing, as far as the system tells."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # whose default is nothing; that of SIGIO is the end
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as exc:
        return exc.errno == errno.EAGAIN
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)


def require_file(path: Path, limits: Limits) -> None:
    """Rejected ``folder.symlink``, ``folder.not_a_file``, ``folder.name``, ``folder.too_large``."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise Rejected("folder.symlink", "links aren't followed")
    if not stat.S_ISREG(found.st_mode):
        raise Rejected("folder.not_a_file", stat.filemode(found.st_mode))
    if not path.name.isprintable():  # also what isn't UTF-8
        raise Rejected("folder.name", "control or invisible characters, or not UTF-8")
    if found.st_size > limits.file_bytes:
        raise Rejected("folder.too_large", f"{found.st_size} > {limits.file_bytes} bytes")


def _oldest(folder: Path, most: int) -> list[_Seen]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower().endswith(DRAFTS):
                continue
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            changed_s = max(state.st_mtime, state.st_ctime)
            found.append(_Seen(entry.name, state.st_mode, state.st_size, changed_s))
    return heapq.nsmallest(most, found, key=lambda one: (one.changed_s, one.name))


def _drop(folder: Path, one: _Seen, limits: Limits, now_s: float) -> Drop | None:
    """The drop that begins with this name; None: not yet."""
    age_s = now_s - one.changed_s
    if age_s < limits.quiet_s:
        return None
    path = folder / one.name
    names, order = [one.name], None
    try:
        if stat.S_ISDIR(one.mode) and age_s < limits.alone_s:
            return None  # somebody may be filling it
        require_file(path, limits)
        if is_written(path):
            return None
        order = read(path, limits) if is_sidecar(one.name) else by_name(one.name)
        if order is None:
            if age_s < limits.alone_s:
                return None
            raise Rejected("folder.no_recipient", "no sidecar came, and the name doesn't begin with CODES__")
        others = [name for name in order.files if name != one.name]
        if len(others) > limits.files:
            raise Rejected("attachment.too_many", f"{len(others)} > {limits.files}")
        missing = [name for name in others if not os.path.lexists(folder / name)]
        names += [name for name in others if name not in missing]
        if missing:
            if age_s < limits.alone_s:
                return None
            raise Rejected("folder.file_missing", ", ".join(missing)[:300])
        for name in others:
            require_file(folder / name, limits)
            state = (folder / name).lstat()
            if now_s - max(state.st_mtime, state.st_ctime) < limits.quiet_s or is_written(folder / name):
                return None
    except FileNotFoundError:
        return None  # taken away meanwhile
    except PermissionError as exc:
        return Drop(names, None, Rejected("folder.unreadable", str(exc)))
    except Rejected as exc:
        return Drop(names, order, exc)
    return Drop(names, order)
