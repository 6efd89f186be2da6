"""Any bytes of a sidecar become an order or a refusal."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from connectors.folder.limits import Limits
from connectors.folder.sidecar import Order, by_name, read
from exchange.errors import Rejected

NAMES = st.sampled_from(["to", "subject", "files", "urgency", "due", "signer", "status", "about", "information"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.binary(max_size=200) | st.dictionaries(NAMES, VALUES, max_size=4).map(lambda one: json.dumps(one).encode())


@given(BODIES, st.sampled_from(["x.send.json", "x.send.yaml"]))
def test_any_bytes(body: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(body)
        with contextlib.suppress(Rejected):
            assert isinstance(read(path, Limits()), Order)


@given(st.text(max_size=60))
def test_any_name(name: str) -> None:
    with contextlib.suppress(Rejected):
        found = by_name(name)
        assert found is None or found.files == [name]
