"""Passwords: argon2id, in the time that it takes, whoever asks.

Guarantees: an unknown account takes as long as a known one; at most `AT_ONCE` are hashed at a time, for each takes
64 MiB. Nothing here is logged.

Source: RFC 9106 §4 (second recommended option); NIST SP 800-63B-4 §3.1.1 (length, no rules of composition).
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from exchange.errors import InvariantBroken, Rejected, Unavailable

CHARACTERS_MIN, CHARACTERS_MAX = 15, 256
AT_ONCE = 2
WAIT_S = 5.0


class Passwords:
    """Hashes and verifies. `hasher`: with the parameters; those of older hashes are in them."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._nobodys = self._hasher.hash("nobody has this password")

    def hash(self, password: str, user: str) -> str:
        """The hash to keep of a new password; Rejected ``password.weak``, Unavailable ``login.busy``."""
        text = _normal(password[: CHARACTERS_MAX + 1])
        if len(password) > CHARACTERS_MAX or not CHARACTERS_MIN <= len(text) <= CHARACTERS_MAX:
            raise Rejected("password.weak", f"{CHARACTERS_MIN} to {CHARACTERS_MAX} characters, please")
        if user in text.lower() or len(set(text)) < CHARACTERS_MIN // 3:
            raise Rejected("password.weak", "not one's name, not the same few characters")
        with self._taken():
            return self._hasher.hash(text)

    def again(self, password: str) -> str:
        """The hash, by today's parameters, of a password that was just verified. Unavailable ``login.busy``."""
        with self._taken():
            return self._hasher.hash(_normal(password))

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the one; `kept` None: of nobody, so it isn't, after the same time.

        Raises: Unavailable ``login.busy``.
        """
        text = _normal(password[: CHARACTERS_MAX + 1])
        with self._taken():
            try:
                self._hasher.verify(kept if kept is not None else self._nobodys, text)
            except VerifyMismatchError:
                return False
            except (VerificationError, InvalidHashError) as exc:
                raise InvariantBroken("a password's hash that can't be read") from exc
        return kept is not None and len(password) <= CHARACTERS_MAX

    def is_outdated(self, kept: str) -> bool:
        """Whether it was made with other parameters than now."""
        return self._hasher.check_needs_rehash(kept)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if not self._room.acquire(timeout=WAIT_S):
            raise Unavailable("login.busy", f"more than {AT_ONCE} at a time for {WAIT_S:.0f} s")
        try:
            yield
        finally:
            self._room.release()


def _normal(password: str) -> str:
    """One spelling of what looks the same; NIST SP 800-63B-4 §3.1.1.2."""
    return unicodedata.normalize("NFKC", password)
