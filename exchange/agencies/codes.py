"""Agency codes (mã định danh) in the new form, and the bridge from the old one.

Guarantees: whatever `parse_code` returns is ASCII, upper case, at most 35 characters and in the new form;
parsing it again changes nothing; no two full old codes become the same new code. Does not know which
codes exist, nor whether the registrar gave an agency another code than the bridge would: the directory
decides, the bridge is only its last resort.

Source: QĐ 20/2020/QĐ-TTg (new form) and QCVN 102:2016/BTTTT (old form). The bridge is our inference from
packets that carry both.
"""

from __future__ import annotations

import re
from typing import NewType

from exchange.errors import Rejected

AgencyCode = NewType("AgencyCode", str)
"""The canonical code of an agency: the new form."""

CODE_CHARACTERS_MAX = 35
"""QĐ 20/2020 allows no more."""

ROOT_CODE = AgencyCode("G00")
"""The Government (Chính phủ), top of the tree of agencies. Our assignment: nobody else uses G00."""

BACKBONE_CODE = AgencyCode("G00.AXIS")
"""The exchange itself, which signs rejections and checkpoints. Four letters, so that it has no old form."""

REGISTRAR_CODE = AgencyCode("G00.REGISTRY")
"""Who signs the entries of the directory. No old form either."""

# [A-Z0-9] rather than \w or \d: those match digits and letters of every script.
_NEW = re.compile(r"[A-Z0-9]+(?:\.[A-Z0-9]+)*")
# Level 1 is a letter and two more (H17, G22, TT2); it stands first in the new form, last in the old one.
_LEVEL_ONE = re.compile(r"[A-Z][A-Z0-9]{2}")
# 4th(3).3rd(2).2nd(2).1st(3); shortened by leaving out groups on the left. The 4th group must begin with a
# digit: with a letter it could be level 1 of a new code, and then the new form wins.
_OLD = re.compile(r"(?:(?:[0-9][A-Z0-9]{2}\.)?[A-Z0-9]{2}\.)?[A-Z0-9]{2}\.[A-Z][A-Z0-9]{2}")
_OLD_PADDING = ("000", "00", "00")
_QUOTED_CHARACTERS_MAX = 60


def parse_code(text: str) -> AgencyCode:
    """Read a code in the new or the old form, and return the new form.

    Old is what has two to four groups of 3, 2, 2 and 3 characters counted from the right, of which the last
    begins with a letter, and the first, where it has three characters, with a digit: ``000.00.00.G22``,
    ``28.22.H17``, ``14.H56``. Everything else is new and stays as it is; where both readings are possible
    (``A01.02.03.H17``) the new form wins.

    Bridge: pad on the left to four groups, reverse, drop zero groups at the end. A zero group inside stays
    (``002.00.20.H13`` is ``H13.20.00.002``), otherwise codes would collide.

    Raises: `Rejected` ``agency.code_malformed``; the sender must correct it.
    """
    if len(text) > CODE_CHARACTERS_MAX or not _NEW.fullmatch(text):
        raise Rejected("agency.code_malformed", f"{text[:_QUOTED_CHARACTERS_MAX]!r}")
    if not _OLD.fullmatch(text):
        return AgencyCode(text)
    groups = text.split(".")[::-1]
    while len(groups) > 1 and _is_zero(groups[-1]):
        groups.pop()
    return AgencyCode(".".join(groups))


def to_old(code: str) -> str | None:
    """Return the full old form (13 characters) of a code in the new form, or None if it has none.

    A code has an old form if its groups have 3, then 2, 2 and 3 characters at most four in number, and if
    `parse_code` reads it back as the same code: ``G00.AXIS``, ``H37.DN.001`` and ``H17.00`` have none.
    """
    groups = code.split(".")
    if len(groups) > len(_OLD_PADDING) + 1:
        return None
    padding = _OLD_PADDING[: len(_OLD_PADDING) + 1 - len(groups)]
    old = ".".join([*padding, *reversed(groups)])
    if not _LEVEL_ONE.fullmatch(groups[0]) or not _OLD.fullmatch(old):
        return None
    return old if parse_code(old) == code else None


def _is_zero(group: str) -> bool:
    return not group.strip("0")
