"""The archive's keys, apart from what they seal: one data key a statement, wrapped by a key that lies in a file.

Guarantees: a key that was given out is durable before it seals anything; a destroyed one is overwritten in the store,
and none is ever made again for that statement. Kept by SQLite: one row a statement, one write to the disk a batch.

Does not: reach what was copied elsewhere. A backup of this file keeps destroyed keys alive, so backups must end within
the time that erasure promises; see docs/archive.md.

Source: NIST SP 800-38D (AES-256-GCM); SQLite's ``secure_delete``.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from exchange.errors import InvariantBroken, Misconfigured, Unavailable

KEY_BYTES = 32
NONCE_BYTES = 12
BUSY_S = 30

_LAYOUT = """
CREATE TABLE IF NOT EXISTS keys (
    statement BLOB PRIMARY KEY,  -- SHA-256 of its bytes
    wrapped   BLOB,              -- nonce, key and tag; NULL once destroyed
    destroyed_ms INTEGER
) WITHOUT ROWID
"""
_FIND = "SELECT wrapped FROM keys WHERE statement = ?"


def ensure_wrapping_key(path: Path) -> bytes:
    """The key in a file, 64 hexadecimal digits, made if there is none. Raises: Misconfigured."""
    try:
        if not path.exists():
            draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(KEY_BYTES) + "\n")
                stream.flush()
                os.fsync(descriptor)
            try:
                os.link(draft, path)  # of two that make it at once, both get the first
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as exc:
        raise Misconfigured([f"no key of the archive in {path}: {exc}"]) from exc
    if len(key) != KEY_BYTES:
        raise Misconfigured([f"the key in {path} has {len(key)} bytes, not {KEY_BYTES}"])
    return key


class KeyStore:
    """The keys in a folder; for one thread, several processes. Raises: Unavailable ``archive.keys``."""

    def __init__(self, folder: Path, wrapping_key: bytes) -> None:
        self._wrapping = AESGCM(wrapping_key)
        with _translated():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / "keys.sqlite"
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            for pragma in ("secure_delete = ON", "journal_mode = TRUNCATE", "synchronous = FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(_LAYOUT)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def ensure(self, statements: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """The keys of statements, made where there are none, durably; None for those that are destroyed."""
        wanted = set(statements)
        with self._writing():
            found = self.find(wanted)
            made = {statement: secrets.token_bytes(KEY_BYTES) for statement in wanted - found.keys()}
            rows = [(statement, self._wrap(statement, key)) for statement, key in made.items()]
            self._connection.executemany("INSERT INTO keys (statement, wrapped) VALUES (?, ?)", rows)
        return {**found, **made}

    def find(self, statements: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """The keys of statements that have, or had, one; None for those that are destroyed."""
        found = dict[bytes, bytes | None]()
        with _translated():
            for statement in statements:
                for (wrapped,) in self._connection.execute(_FIND, (statement,)):
                    found[statement] = None if wrapped is None else self._unwrap(statement, wrapped)
        return found

    def destroy(self, statements: Iterable[bytes], at_ms: int) -> None:
        """Destroy the keys of statements, for good and durably; idempotent."""
        with self._writing():
            self._connection.executemany(
                "INSERT INTO keys VALUES (?, NULL, ?) ON CONFLICT (statement) DO UPDATE "
                "SET wrapped = NULL, destroyed_ms = excluded.destroyed_ms WHERE wrapped IS NOT NULL",
                [(statement, at_ms) for statement in statements],
            )

    def count(self) -> tuple[int, int]:
        """How many statements have a key, and how many had one."""
        with _translated():
            row = self._connection.execute("SELECT count(wrapped), count(*) - count(wrapped) FROM keys").fetchone()
        return int(row[0]), int(row[1])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _wrap(self, statement: bytes, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, statement)

    def _unwrap(self, statement: bytes, wrapped: bytes) -> bytes:
        try:
            return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], statement)
        except InvalidTag as exc:
            raise Misconfigured([f"the archive's key isn't the one that wrapped {statement.hex()}"]) from exc


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as exc:
        raise Unavailable("archive.keys", str(exc)) from exc
    except sqlite3.Error as exc:
        raise InvariantBroken(f"the archive's keys: {exc}") from exc
