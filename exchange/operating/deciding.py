"""Decisions of operators: signed by the registrar, with why and who, as entries of the directory (decision 0006).

Guarantees: what `Registrar.say` returns from is in the directory for ever, and was read back. Who the names belong to
is the caller's to know: whoever is logged in, or whoever holds the registrar's key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from exchange.agencies import REGISTRAR_CODE, DirectoryView, Entry
from exchange.backbone import directory_log
from exchange.backbone.clients import Config
from exchange.backbone.directory_log import DirectoryLog
from exchange.errors import Rejected
from exchange.signatures import SigningKey

REASON_CHARACTERS_MAX = 400
NAME_CHARACTERS_MAX = 80


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Registrar:
    """Who signs decisions, and the directory as read by the same process."""

    base: Config
    key: SigningKey
    log: DirectoryLog

    @property
    def view(self) -> DirectoryView:
        """The directory as of what was read."""
        return self.log.directory.latest()

    def say(self, *entries: Entry) -> int:
        """Sign and append; returns the directory offset from which they count. Raises: Unavailable."""
        directory_log.append(self.base, REGISTRAR_CODE, self.key, list(entries), now_ms())
        self.log.catch_up()
        return self.log.directory.next_offset


def checked_line(text: str, most: int, what: str) -> str:
    """One printable line of at most `most` characters; Rejected ``decision.text``."""
    text = text.strip()
    if not text or len(text) > most or not text.isprintable():
        raise Rejected("decision.text", f"{what}: one line of 1 to {most} characters")
    return text


def checked_reason(reason: str) -> str:
    """Why; Rejected ``decision.text``."""
    return checked_line(reason, REASON_CHARACTERS_MAX, "reason")


def checked_name(name: str) -> str:
    """Who; Rejected ``decision.text``."""
    return checked_line(name, NAME_CHARACTERS_MAX, "name")


def checked_two(by: str, seconded_by: str) -> tuple[str, str]:
    """Two names of two people; Rejected ``decision.text``, ``decision.same_person``."""
    two = checked_name(by), checked_name(seconded_by)
    if two[0].casefold() == two[1].casefold():
        raise Rejected("decision.same_person", f"{by} can't second themselves")
    return two
