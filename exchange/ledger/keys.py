"""The keys of a log and of witnesses as files: made once, private to their owner."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from exchange.errors import Misconfigured
from exchange.ledger.notes import SIGNATURE, NoteKey


def ensure_key(path: Path, name: str, kind: int = SIGNATURE) -> NoteKey:
    """The key in a file, made with this name if there is none; of two that make it at once, both get the first.

    Raises: Misconfigured: the file can't be read or isn't such a key, or no key may have that name.
    """
    if not path.exists():
        made = NoteKey.generate(name, kind)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(made.secret)
                stream.flush()
                os.fsync(descriptor)
            _link(draft, path)
        except OSError as exc:
            raise Misconfigured([f"no key can be written to {path}: {exc}"]) from exc
        finally:
            draft.unlink(missing_ok=True)
    return read_key(path, kind)


def read_key(path: Path, kind: int = SIGNATURE) -> NoteKey:
    """The key in a file; Misconfigured if there is none of that kind."""
    try:
        found = NoteKey.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise Misconfigured([f"no key can be read from {path}: {exc}"]) from exc
    if found.verifier.kind != kind:
        raise Misconfigured([f"the key in {path} is of another kind"])
    return found


def _link(draft: Path, path: Path) -> None:
    """Give the draft its name unless somebody was faster."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return
