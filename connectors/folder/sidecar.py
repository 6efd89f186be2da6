"""What is to be sent, read from a sidecar or from a file's name.

``plan.pdf.send.yaml`` (or ``.send.json``) is the sidecar of ``plan.pdf``; with `files` it names them itself. Without a
sidecar the name says it: ``G22,H41__Kế hoạch năm 2026.pdf`` goes to G22 and H41, with the rest as its subject.

Guarantees: any bytes become an `Order` or `Rejected`; no alias, no duplicate key, no unknown key is taken.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from unicodedata import normalize

import yaml

from connectors.folder.limits import Limits
from exchange.errors import Rejected
from exchange.sdk import parse_code

ENDINGS = (".send.json", ".send.yaml", ".send.yml")
BETWEEN = "__"
_TEXTS = ("subject", "number", "notation", "type", "content")
_LISTS = ("to", "information", "files")
_KNOWN = frozenset({*_TEXTS, *_LISTS, "urgency", "issued", "due", "signer", "status", "about", "reason"})


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: a document, or, with `status`, a status about what arrived. `files`: plain names."""

    to: list[str] = field(default_factory=list)
    information: list[str] = field(default_factory=list)
    subject: str = ""
    files: list[str] = field(default_factory=list)
    number: str = "1"
    notation: str = "CV"
    type: str = "CV"
    content: str = ""
    urgency: int = 0
    issued: date | None = None
    due: date | None = None
    signer: tuple[str, str] = ("", "")
    status: int | None = None
    about: str = ""
    reason: str = ""


def is_sidecar(name: str) -> bool:
    """Whether a file of this name says what to send."""
    return name.lower().endswith(ENDINGS)


def named(name: str) -> str:
    """The file that a sidecar is named for."""
    return next(name[: -len(ending)] for ending in ENDINGS if name.lower().endswith(ending))


def by_name(name: str) -> Order | None:
    """What a file's own name says; None if it says nothing. Raises: Rejected ``agency.*``: a code that is none."""
    before, between, rest = name.partition(BETWEEN)
    if not between:
        return None
    subject = normalize("NFC", Path(rest).stem.strip())
    if not subject:
        raise Rejected("folder.name", "no subject after the codes")
    return Order(to=_codes(before.split(",")), subject=subject, files=[name])


def read(path: Path, limits: Limits) -> Order:
    """What a sidecar says. Raises: Rejected ``folder.sidecar_*``, ``folder.field``, ``agency.*``."""
    with path.open("rb") as stream:
        body = stream.read(limits.sidecar_bytes + 1)
    if len(body) > limits.sidecar_bytes:
        raise Rejected("folder.sidecar_too_large", f"more than {limits.sidecar_bytes} bytes")
    try:
        text = body.decode("utf-8-sig")
        is_json = path.name.lower().endswith(ENDINGS[0])
        said = json.loads(text, object_pairs_hook=_once) if is_json else yaml.load(text, _Plain)  # noqa: S506  # nosec B506
    except RecursionError as exc:
        raise Rejected("folder.sidecar_too_deep", "") from exc
    except (ValueError, yaml.YAMLError) as exc:
        raise Rejected("folder.sidecar_unreadable", str(exc)[:300]) from exc
    if not isinstance(said, dict):
        raise Rejected("folder.sidecar_unreadable", "not a table of names and values")
    return _order(said, named(path.name))


def _order(said: dict[Any, Any], own: str) -> Order:
    unknown = [str(one)[:40] for one in said if one not in _KNOWN]
    if unknown:
        raise Rejected("folder.field", f"unknown: {', '.join(unknown[:10])}")
    found: dict[str, Any] = {one: _text(said[one], one) for one in (*_TEXTS, "about", "reason") if one in said}
    for one in ("urgency", "status"):
        if one in said:
            found[one] = _number(said[one], one)
    for one in ("issued", "due"):
        if said.get(one) is not None:
            found[one] = _day(said[one], one)
    for one in _LISTS:
        if one in said:
            found[one] = [_text(item, one) for item in _list(said[one], one)]
    if "signer" in said:
        signer = said["signer"]
        if not isinstance(signer, dict) or not set(signer) <= {"name", "position"}:
            raise Rejected("folder.field", "signer has a name and a position")
        found["signer"] = _text(signer.get("name", ""), "signer"), _text(signer.get("position", ""), "signer")
    for one in ("to", "information"):
        if one in found:
            found[one] = _codes(found[one])
    if found.get("status") is None:
        found.setdefault("files", [own])
    for name in found.get("files", []):
        if not name or name.startswith(".") or "/" in name or "\0" in name or is_sidecar(name):
            raise Rejected("folder.field", f"files: {name[:80]!r} is no plain name")
    if len(set(found.get("files", []))) != len(found.get("files", [])):
        raise Rejected("folder.field", "files: one of them is named twice")
    return Order(**found)


def _codes(texts: list[str]) -> list[str]:
    return [parse_code(text.strip()) for text in texts]


def _list(value: object, name: str) -> list[object]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise Rejected("folder.field", f"{name} is a list")
    return value


def _text(value: object, name: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # number: 16
    if not isinstance(value, str):
        raise Rejected("folder.field", f"{name} is a text")
    return value


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 100:
        raise Rejected("folder.field", f"{name} is a small number")
    return value


def _day(value: object, name: str) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError as exc:
        raise Rejected("folder.field", f"{name} is a day such as 2026-01-31") from exc


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


class _Plain(yaml.SafeLoader):
    """YAML without aliases and without duplicate keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases aren't taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep=deep)
        if len(found) != len(node.value):
            raise yaml.YAMLError("a name stands there twice")
        return found
