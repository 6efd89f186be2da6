"""A home in one file, and back: what a destroyed disk takes, a backup from before brings back.

Guarantees: made while nothing of the home runs, so it is one moment of everything: topics with their offsets and times,
duplicate store, trace store, ledger, archive, attachments. Written beside its name and renamed when it is whole and on
disk. Restoring verifies every byte before a part gets its name, never replaces a part that is there, and leaves nothing
half made. Memory grows with the number of files, not with their size.

The keys are sealed under a passphrase, or left out; what agencies said is in clear: keep the file as you keep the home.
Does not bring back what came after it: senders send that again (it is recognised if it was there), and the deep audit
names what ledger or archive still tell of.

Source: POSIX pax archives (Python's tarfile), unpacked here by names that we check, never by tarfile.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile, mkdtemp
from typing import IO, Any, BinaryIO, cast

from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.local.account import find_account
from exchange.local.crew import crew_status
from exchange.local.home import Home
from exchange.local.progress import Report, silent
from exchange.local.sealing import Sealing, opened
from exchange.local.services import status

FORMAT = 1
HEAD, SECRETS, LIST = "backup.json", "secrets.sealed", "sha256.json"
SECRET_PARTS = frozenset({"keys", "archive-keys", "witness"})
"""What signs and what opens: sealed, or left out."""
PASSING = frozenset({"run", "targets", "lock", "torture", "torture.lock"})
"""What only matters while something runs."""

COPIED_BYTES = 1024 * 1024
LIST_BYTES_MAX = 256 * 1024 * 1024
POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Backup:
    """What is in a backup, or was brought back. `parts`: names at the top of the home; `secrets`: which of them are
    sealed."""

    made_ms: int
    parts: tuple[str, ...]
    secrets: tuple[str, ...]
    files: int
    bytes: int


def back_up(home: Home, target: Path, passphrase: str | None, report: Report = silent) -> Backup:
    """Write the home into `target`, which must not be there. `passphrase`: of the keys; None leaves them out.

    Raises: Unavailable ``home.running`` (stop it first), Misconfigured (no home, a file in the way, something in the
        home that is neither file nor folder), Rejected ``passphrase.weak``.
    """
    if home.state() is None:
        raise Misconfigured([f"{home.folder} is no home yet"])
    if target.exists():
        raise Misconfigured([f"{target} is there already"])
    if target.absolute().is_relative_to(home.folder):
        raise Misconfigured([f"{target} would lie in what it is a backup of"])
    draft = target.with_name(f"{target.name}.{os.getpid()}.new")
    with home.locked():
        _require_rest(home)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                made = _write(home, stream, passphrase, report)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return made


def restore(home: Home, source: Path, passphrase: str | None, report: Report = silent) -> Backup:
    """Bring back each part that is missing in the home; what is there stays as it is.

    `passphrase`: of the keys; None brings back the rest. The answer names what was brought back.

    Raises: Rejected ``backup.damaged``, ``backup.passphrase``, ``backup.nothing_missing``; Unavailable
        ``home.running``; Misconfigured (no file, or one of another version).
    """
    if not source.is_file():
        raise Misconfigured([f"{source} is no file"])
    home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with home.locked():
        _require_rest(home)
        draft = Path(mkdtemp(prefix="restoring-", dir=home.folder))
        try:
            with source.open("rb") as stream:
                head, found = _read(stream, draft, passphrase, report)
            parts = sorted(path.name for path in draft.iterdir())
            missing = [name for name in parts if not _is_there(home.folder / name, draft / name)]
            if not missing:
                raise Rejected("backup.nothing_missing", f"{home.folder} has all of {', '.join(parts)}")
            if (draft / POSTGRES / "data").exists() and POSTGRES in missing:
                _give_to_postgres(draft / POSTGRES)
            for name in missing:
                if (home.folder / name).is_dir():  # an empty one
                    (home.folder / name).rmdir()
                (draft / name).rename(home.folder / name)
        finally:
            shutil.rmtree(draft)
    secrets = tuple(name for name in missing if name in SECRET_PARTS)
    return Backup(head["made_ms"], tuple(missing), secrets, found["files"], found["bytes"])


def _is_there(path: Path, kept: Path) -> bool:
    """An empty folder isn't, unless it was empty then as well: commands make the folders that they miss."""
    return path.exists() and (_is_something(path) or not _is_something(kept))


def _is_something(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _require_rest(home: Home) -> None:
    running = [row.name for row in [*status(home), *crew_status(home)] if row.state == "running"]
    if running:
        raise Unavailable("home.running", f"{', '.join(running)}: stop with `exchange down` first")


# Writing.


def _write(home: Home, stream: BinaryIO, passphrase: str | None, report: Report) -> Backup:
    names = sorted(path.name for path in home.folder.iterdir() if _belongs(path.name))
    secrets = [name for name in names if name in SECRET_PARTS]
    head: dict[str, Any] = {
        "format": FORMAT,
        "made_ms": time.time_ns() // 1_000_000,
        "made_by": version("exchange-backbone"),
        "parts": names,
        "secrets": secrets,
        "secrets_are": "left out" if passphrase is None else "sealed",
    }
    total = sum(path.lstat().st_size for name in names for path, _ in _below(home.folder, name))
    listed: dict[str, str] = {}
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        report("Backing up", done, total)

    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add_bytes(tar, HEAD, json.dumps(head).encode())
        if passphrase is not None:
            _add_secrets(tar, home.folder, secrets, passphrase, told)
        for name in names:
            if name not in SECRET_PARTS:
                _add_part(tar, home.folder, name, listed, told)
        _add_bytes(tar, LIST, json.dumps(listed).encode())
    kept = secrets if passphrase is not None else []
    return Backup(head["made_ms"], tuple(names), tuple(kept), len(listed), done)


def _belongs(name: str) -> bool:
    return name not in PASSING and not name.startswith("restoring-")


def _below(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """Each folder and file of a part, folders first, with its name in the backup."""
    waiting = [folder / name]
    while waiting:
        path = waiting.pop()
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise Misconfigured([f"{path} is neither a file nor a folder: a backup can't hold it"])
        yield path, path.relative_to(folder).as_posix()
        if stat.S_ISDIR(mode):
            waiting += sorted(path.iterdir(), reverse=True)


def _add_part(
    tar: tarfile.TarFile, folder: Path, name: str, listed: dict[str, str], told: Callable[[int], None]
) -> None:
    for path, inside in _below(folder, name):
        info = _info(path, inside)
        if path.is_dir():
            tar.addfile(info)
            continue
        with path.open("rb") as file:
            hashing = _Hashing(file, told)
            tar.addfile(info, cast(BinaryIO, hashing))
        listed[inside] = hashing.digest.hexdigest()


def _info(path: Path, name: str) -> tarfile.TarInfo:
    """What a member says: name, mode, size; nothing of the machine's users."""
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(found.st_mode) & 0o700
    info.mtime = found.st_mtime
    if stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
    else:
        info.size = found.st_size
    return info


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO, told: Callable[[int], None]) -> None:
        self.digest = sha256()
        self._file = file
        self._told = told

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.digest.update(data)
        self._told(len(data))
        return data


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        tar.addfile(info, file)


def _add_secrets(
    tar: tarfile.TarFile, folder: Path, names: list[str], passphrase: str, told: Callable[[int], None]
) -> None:
    """A sealed archive in the archive. Only sealed bytes touch the disk outside of the home."""
    with TemporaryFile() as file:
        sealing, listed = Sealing(cast(BinaryIO, file), passphrase), dict[str, str]()
        with tarfile.open(fileobj=cast(BinaryIO, sealing), mode="w|", format=tarfile.PAX_FORMAT) as inner:
            for name in names:
                _add_part(inner, folder, name, listed, told)
            _add_bytes(inner, LIST, json.dumps(listed).encode())
        sealing.close()
        info = tarfile.TarInfo(SECRETS)
        info.size, info.mode = file.tell(), 0o600
        file.seek(0)
        tar.addfile(info, file)


# Reading.

_DAMAGED = (
    tarfile.TarError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    FileExistsError,
    FileNotFoundError,
    NotADirectoryError,
)
"""What a file that isn't as we wrote it may lead to."""


def _read(
    stream: BinaryIO, draft: Path, passphrase: str | None, report: Report
) -> tuple[dict[str, Any], dict[str, int]]:
    """Unpack into the draft, and verify; what was unpacked is the caller's to take or throw away."""
    size = os.fstat(stream.fileno()).st_size
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            first = tar.next()
            if first is None or first.name != HEAD:
                raise Rejected("backup.damaged", f"{HEAD} isn't first")
            head = json.loads(_content(tar, first, LIST_BYTES_MAX))
            if head["format"] != FORMAT:
                raise Misconfigured([f"a backup of format {head['format']}, this reads {FORMAT}"])
            counted = _unpack(tar, draft, passphrase, lambda: report("Restoring", stream.tell(), size))
    except _DAMAGED as exc:
        raise Rejected("backup.damaged", repr(exc)[:300]) from exc
    return head, counted


def _unpack(tar: tarfile.TarFile, draft: Path, passphrase: str | None, told: Callable[[], None]) -> dict[str, int]:
    digests: dict[str, str] = {}
    listed: dict[str, str] | None = None
    total = 0
    while (member := tar.next()) is not None:
        told()
        if listed is not None:
            raise Rejected("backup.damaged", f"{member.name[:200]} after the list")
        if member.name == LIST:
            listed = json.loads(_content(tar, member, LIST_BYTES_MAX))
        elif member.name == SECRETS:
            if passphrase is not None:
                total += _unpack_secrets(tar, member, draft, passphrase)
        elif member.isdir():
            _inside(draft, member.name).mkdir(mode=0o700)
        elif member.isreg():
            digests[member.name] = _unpack_file(tar, member, _inside(draft, member.name))
            total += member.size
        else:
            raise Rejected("backup.damaged", f"{member.name[:200]} is neither a file nor a folder")
    if listed is None or listed != digests:
        wrong = sorted(set((listed or {}).items()) ^ set(digests.items()))
        raise Rejected("backup.damaged", f"{wrong[0][0][:200] if wrong else LIST} isn't as it was written")
    return {"files": len(digests), "bytes": total}


def _unpack_secrets(tar: tarfile.TarFile, member: tarfile.TarInfo, draft: Path, passphrase: str) -> int:
    file = tar.extractfile(member)
    if file is None:
        raise Rejected("backup.damaged", SECRETS)
    with TemporaryFile(dir=draft) as clear:  # in the home, and without a name
        for portion in opened(cast(BinaryIO, file), passphrase):
            clear.write(portion)
        clear.seek(0)
        with tarfile.open(fileobj=clear, mode="r|") as inner:
            return _unpack(inner, draft, None, lambda: None)["bytes"]


def _inside(draft: Path, name: str) -> Path:
    """Where a member goes: below the draft, by a name without tricks."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or any(part in {"..", "."} for part in path.parts) or "\0" in name:
        raise Rejected("backup.damaged", f"{name[:200]!r} leads out of the home")
    if not _belongs(path.parts[0]):
        raise Rejected("backup.damaged", f"{name[:200]!r} is no part of a home")
    return draft.joinpath(*path.parts)


def _unpack_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    digest = sha256()
    with target.open("xb") as out, _opened(tar, member) as file:
        while data := file.read(COPIED_BYTES):
            digest.update(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    target.chmod(member.mode & 0o700)
    return digest.hexdigest()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    if not member.isreg() or member.size > most:
        raise Rejected("backup.damaged", f"{member.name[:200]} is too large, or no file")
    with _opened(tar, member) as file:
        return file.read()


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise Rejected("backup.damaged", member.name[:200])
    return file


def _give_to_postgres(folder: Path) -> None:
    account = find_account()
    for path in (folder / "data", *(folder / "data").rglob("*")):
        account.give(path)
