"""A short coverage-guided run over evidence files of strangers, always with the same seed; `make fuzz` runs longer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.evidence import PLANTED

RUNS, SECONDS = 2_000, 5
CONTROL_RUNS, CONTROL_SECONDS = 100_000, 60
"""Far more than it takes, for a busy machine: it ends with the bug."""


def fuzz(folder: Path, runs: int, seconds: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Fuzz with seed 1, for so many runs or so long, whichever is over first."""
    command = [sys.executable, "-m", "tests.fuzz.evidence", str(folder), "-seed=1", f"-runs={runs}"]
    command.append(f"-max_total_time={seconds}")
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_no_evidence_breaks_the_verifier(tmp_path: Path) -> None:
    """Every input ends in a verdict, and none but the true parts in a good one; it isn't only the seeds that ran."""
    ran = fuzz(tmp_path, RUNS, SECONDS)
    assert ran.returncode == 0, ran.stderr[-4000:]
    done = re.search(r"Done (\d+) runs", ran.stderr)
    assert done is not None
    assert int(done[1]) > RUNS // 10
    covered = [int(count) for count in re.findall(r"cov: (\d+)", ran.stderr)]
    assert covered[-1] > 300, "the verifier isn't instrumented"
    assert not list(tmp_path.glob("crash-*"))


def test_a_bug_would_be_found(tmp_path: Path) -> None:
    """The control: a reader that stumbles over something that isn't in the true file is found, soon."""
    ran = fuzz(tmp_path, CONTROL_RUNS, CONTROL_SECONDS, **{PLANTED: "1"})
    assert ran.returncode != 0
    assert "planted" in ran.stdout + ran.stderr
