"""The AsyncAPI document: valid by AsyncAPI's own schema, true to the code, and kept as it is made."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from exchange.backbone.asyncapi import document
from exchange.cli.app import app
from exchange.statements import KINDS, SUBMISSION_TOPICS
from tests.support.signing import World

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests" / "vectors" / "asyncapi-3.0.0.schema.json.gz"
"""Of the package @asyncapi/specs 6.11.1 (Apache-2.0), its 3.0.0-without-$id.json without spaces."""


def references(node: Any) -> list[str]:  # noqa: ANN401
    """Every ``$ref`` in it."""
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_it_is_valid_by_asyncapis_own_schema() -> None:
    schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
    validator = jsonschema_rs.validator_for(schema)
    assert [str(error) for error in validator.iter_errors(document())] == []
    broken = document() | {"asyncapi": "2.6.0"}
    assert list(validator.iter_errors(broken))
    broken = document()
    broken["channels"]["documents"]["bindings"]["kafka"]["partitions"] = "many"
    assert list(validator.iter_errors(broken))


def test_what_is_kept_is_what_the_code_says() -> None:
    printed = CliRunner().invoke(app, ["asyncapi"])
    assert printed.exit_code == 0
    assert (ROOT / "docs" / "asyncapi.json").read_text("utf-8") == printed.stdout, (
        "exchange asyncapi > docs/asyncapi.json"
    )


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    found = references(whole)
    assert len(found) > 10
    for one in found:
        if one.startswith("#/"):
            node: Any = whole
            for step in one[2:].split("/"):
                node = node[step]
        else:
            assert json.loads((ROOT / "docs" / one).read_text("utf-8"))["name"] == "Record"


def test_each_submission_topic_is_there_with_its_kinds() -> None:
    channels = document()["channels"]
    assert sorted(channels) == sorted(SUBMISSION_TOPICS)
    carried = {topic: sorted(channel["messages"]) for topic, channel in channels.items()}
    assert carried == {
        "documents": ["document"],
        "documents.urgent": ["document"],
        "statuses": ["status"],
        "reports": ["report"],
    }


@pytest.mark.parametrize("urgency", [0, 1])
def test_a_documents_topic_is_the_codes(urgency: int) -> None:
    fields = World().document(urgency=urgency, lane="urgent" if urgency else "normal")
    assert "document" in document()["channels"][KINDS["document"].topic(fields)]["messages"]
