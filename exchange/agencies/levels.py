"""The administrative levels, as data: which there are, in which order, and what they are called.

Vietnam had four until 2025-07-01 and has three since; nothing outside this table counts to four.
"""

from __future__ import annotations

from enum import IntEnum


class Level(IntEnum):
    """A level of the administration; 1 is the top. The value is what schemas and stores hold."""

    CENTRAL = 1
    PROVINCE = 2
    DISTRICT = 3
    COMMUNE = 4

    @property
    def label(self) -> str:
        """Lower-case English word, as used in topic names (``inbox.province``)."""
        return self.name.lower()

    @property
    def vietnamese(self) -> str:
        """The word shown to Vietnamese readers."""
        return _VIETNAMESE[self]


_VIETNAMESE = {
    Level.CENTRAL: "Trung ương",
    Level.PROVINCE: "Tỉnh",
    Level.DISTRICT: "Huyện",
    Level.COMMUNE: "Xã",
}
