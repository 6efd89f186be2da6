"""A flame graph of the hop at work, sampled from outside by py-spy: ``docs/hop.svg``.

Not among the figures: it says where the time goes, not how much of it there is.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.corpus import Corpus
from bench.following import Progress
from bench.hop import fill
from bench.results import Result, told
from bench.workers import running_workers
from bench.world import SEED, BenchWorld

TARGET = Path(__file__).parents[1] / "docs" / "hop.svg"
DOCUMENTS, WARM_UP = 100_000, 5_000
SECONDS, PER_SECOND = 12, 199
_TITLE = re.compile(r"py-spy record [^<]*")
_FOLDER = re.compile(r"(?<=\()(?:/[^()<>:]*?/)(?=exchange/|site-packages/|lib/python3)")


def measure(bench: BenchWorld) -> Iterator[Result]:
    """Sample a worker in its steady state; yields no figure."""
    fill(bench, Corpus(bench.cast, SEED, "flame").signed_singly(DOCUMENTS))
    progress = Progress(bench.world)
    with tempfile.TemporaryDirectory() as folder, running_workers(bench.world) as [worker]:
        progress.until(WARM_UP)
        drawn = Path(folder) / "hop.svg"
        subprocess.run(
            ["py-spy", "record", "--pid", str(worker.pid), "--output", str(drawn), "--format", "flamegraph",
             "--duration", str(SECONDS), "--rate", str(PER_SECOND), "--threads", "--function"],
            check=True, capture_output=True,
        )  # fmt: skip
        text = _TITLE.sub("The hop at work: singly signed documents of 2 KiB, two threads", drawn.read_text("utf-8"))
        TARGET.write_text(_FOLDER.sub("", text), encoding="utf-8")
    progress.close()
    told(f"{TARGET.name}: {TARGET.stat().st_size // 1024} kB")
    yield from ()
