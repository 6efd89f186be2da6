"""The quick start for document systems, typed as it stands: with Python, with curl alone, with edXML packets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from tests.support.gateways import free_port
from tests.support.pages import blocks, run
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TOOLS = ("curl", "jq", "openssl", "basenc")


def test_ten_minutes(exchange: Exchange, tmp_path: Path) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    await_members(exchange.world.admin, GROUP, 1, 120)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    page = blocks(ROOT / "docs" / "quick-start.md")
    assert len(page) == 7
    script = "".join(page)
    for port in ("8480", "8481"):  # another port, so that tests can run beside a demo
        assert port in script
        script = script.replace(port, str(free_port()))
    said = run(script, exchange.world.home, tmp_path)
    assert "01 arrived, signed by H26.21.01" in said
    assert (tmp_path / "received" / "plan.pdf").read_bytes() == (tmp_path / "received.pdf").read_bytes()
    assert (tmp_path / "received.edxml").read_bytes() == (ROOT / "docs" / "quick-start.edxml").read_bytes()
