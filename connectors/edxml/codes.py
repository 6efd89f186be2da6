"""The code tables of edXML, and how provincial axes name a wrong field.

Source: QCVN 102:2016 as real packets and a national field dictionary spell it; see README.md here.
"""

from __future__ import annotations

from enum import IntEnum


class BusinessType(IntEnum):
    """What a packet does (BussinessDocType; the spelling is the standard's)."""

    NEW = 0
    RECALL = 1
    UPDATE = 2
    REPLACE = 3


BUSINESS = {
    BusinessType.NEW: "new",
    BusinessType.RECALL: "recall",
    BusinessType.UPDATE: "update",
    BusinessType.REPLACE: "replace",
}
"""The exchange's words for them."""

MISSING, RANGE, MISMATCH, TYPE = "N", "R", "M", "T"
"""The first letter of a field error: missing, out of range, mismatch, type; then comes the path."""

MAXIMA = {
    "OrganName": 200, "OrganizationInCharge": 200, "OrganAdd": 250, "Email": 100, "Telephone": 20, "Fax": 20,
    "CodeNumber": 11, "CodeNotation": 30, "Place": 50, "Subject": 500, "Content": 500, "Competence": 100,
    "Position": 100, "FullName": 50, "TypeName": 100, "SphereOfPromulgation": 100, "TyperNotation": 10,
    "Appendix": 250, "AttachmentName": 200,
}  # fmt: skip
"""Declared maxima in characters. Real packets break them, so they are warned of, not refused."""
