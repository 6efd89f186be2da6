"""Agencies: their codes and levels, and the directory of them."""

from exchange.agencies.codes import (
    BACKBONE_CODE,
    CODE_CHARACTERS_MAX,
    REGISTRAR_CODE,
    ROOT_CODE,
    AgencyCode,
    parse_code,
    to_old,
)
from exchange.agencies.directory import Directory
from exchange.agencies.entries import (
    Agency,
    CertificateEntry,
    Entry,
    Erased,
    Erasure,
    Grant,
    Group,
    Leader,
    RevocationList,
    RoleName,
    SettingAside,
    Suspension,
)
from exchange.agencies.levels import Level
from exchange.agencies.resolution import Closed, Open, Redirected, Resolution, Unknown
from exchange.agencies.subtrees import subtree_of
from exchange.agencies.view import DirectoryView

__all__ = [
    "BACKBONE_CODE",
    "CODE_CHARACTERS_MAX",
    "REGISTRAR_CODE",
    "ROOT_CODE",
    "Agency",
    "AgencyCode",
    "CertificateEntry",
    "Closed",
    "Directory",
    "DirectoryView",
    "Entry",
    "Erased",
    "Erasure",
    "Grant",
    "Group",
    "Leader",
    "Level",
    "Open",
    "Redirected",
    "Resolution",
    "RevocationList",
    "RoleName",
    "SettingAside",
    "Suspension",
    "Unknown",
    "parse_code",
    "subtree_of",
    "to_old",
]
