"""The words of one language: texts out of the catalogue, numbers and times as it writes them.

Guarantees: both languages have each text, with the same blanks to fill in (a test). Times are Vietnam's.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal

from exchange.agencies.levels import Level
from exchange.console.catalogue import TEXTS

Language = Literal["vi", "en"]
LANGUAGES: tuple[Language, ...] = ("vi", "en")
NAMES = {"vi": "Tiếng Việt", "en": "English"}

VIETNAM = timezone(timedelta(hours=7))

_AWAY = {
    "services": "away.services",
    "kafka": "away.kafka",
    "hop": "away.kafka",
    "postgres": "away.postgres",
    "throughput": "away.nothing",
    "trace_store": "away.nothing",
}
"""By the stage of an error's code."""

_DURATIONS = (("unit.d", 86_400), ("unit.h", 3_600), ("unit.min", 60))


class Words:
    """The words of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **blanks: object) -> str:
        """The text of a key, its blanks filled in."""
        found = TEXTS[key][self._place]
        return found.format(**blanks) if blanks else found

    def named(self, group: str, name: str) -> str:
        """What a name of the exchange's is called here; itself, if it has no text in that group."""
        key = f"{group}.{name}"
        return self(key) if key in TEXTS else name

    def away(self, code: str) -> str:
        """What an error of the world means for whoever looks."""
        return self(_AWAY.get(code.partition(".")[0], "away.other"), code=code)

    def refused(self, code: str) -> str:
        """What a refusal means, as far as it has a text of its own."""
        own = f"refused.{code}"
        return f"{self(own)} ({code})" if own in TEXTS else self("acting.refused", code=code)

    def level(self, level: int) -> str:
        """The name of a level; 0: unknown."""
        return self(f"level.{int(level) if level in set(Level) else 0}")

    def status(self, code: int) -> str:
        """What a status's code means."""
        return self(f"status.{code if f'status.{code}' in TEXTS else 0}")

    def number(self, value: float, digits: int = 0) -> str:
        """A number with its thousands apart: 1.234,5 in Vietnamese, 1,234.5 in English."""
        english = f"{value:,.{digits}f}"
        return english if self.language == "en" else english.translate(str.maketrans(",.", ".,"))

    def percent(self, part: int, whole: int) -> str:
        """A share, to a tenth of a percent; a dash of nothing."""
        return f"{self.number(100 * part / whole, 1)} %" if whole else "–"

    def megabytes(self, count: int) -> str:
        """Bytes, in megabytes; nothing for none."""
        return f"{self.number(count / 1e6)} MB" if count else ""

    def duration(self, seconds: float) -> str:
        """About how long, in one unit."""
        for key, length in _DURATIONS:
            if seconds >= 2 * length:
                return self(key, n=self.number(seconds / length))
        return self("unit.s", n=self.number(seconds))

    def clock(self, ms: int) -> str:
        """A broker's time, to the second, in Vietnam."""
        return self._at(ms).strftime("%d/%m/%Y %H:%M:%S" if self.language == "vi" else "%Y-%m-%d %H:%M:%S")

    def day(self, ms: int) -> str:
        """A broker's time, to the day, in Vietnam."""
        return self._at(ms).strftime("%d/%m/%Y" if self.language == "vi" else "%Y-%m-%d")

    @staticmethod
    def _at(ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, VIETNAM)
