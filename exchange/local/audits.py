"""What the last audits of a home came to, for whoever watches it: ``audits/books.json`` and ``audits/deep.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from exchange.auditor import Balance
from exchange.errors import InvariantBroken
from exchange.local.home import Home, write_private


class Audited(NamedTuple):
    """The result of an audit. `began_s`: POSIX; `findings`: by code, 0 for codes that only earlier audits found."""

    began_s: float
    holds: bool
    findings: dict[str, int]


def keep(home: Home, balance: Balance, began_s: float, *, deep: bool) -> None:
    """Keep the result of an audit in place of the last one."""
    earlier = last(home, deep=deep)
    findings = dict.fromkeys(earlier.findings if earlier is not None else (), 0) | balance.finding_counts
    home.audits.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(_file(home, deep=deep), json.dumps(Audited(began_s, balance.holds, findings)._asdict()) + "\n")


def last(home: Home, *, deep: bool) -> Audited | None:
    """The last audit's result; None before the first. Raises: InvariantBroken if it can't be read."""
    try:
        found = json.loads(_file(home, deep=deep).read_text(encoding="utf-8"))
        return Audited(float(found["began_s"]), bool(found["holds"]), dict(found["findings"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as exc:
        raise InvariantBroken(f"{_file(home, deep=deep)} can't be read: {exc!r}") from exc


def _file(home: Home, *, deep: bool) -> Path:
    return home.audits / ("deep.json" if deep else "books.json")
