"""What pages let their readers type, run as it stands: blocks marked ``<!-- run -->``.

Of ``console`` the lines after the prompt, ``sh`` as it is, ``python`` by the interpreter of the tests. Settings of the
home and of PATH are the test's, not the page's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from exchange.local.home import Home

_BLOCK = re.compile(r"<!-- run -->\n```(console|sh|python)\n(.*?)```", re.DOTALL)
_OURS = re.compile(r"(EXCHANGE_HOME|PATH)=\S+ ?")


def blocks(page: Path) -> list[str]:
    """Its marked blocks as shell scripts."""
    return [_script(kind, text) for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def run(script: str, home: Home, folder: Path, timeout_s: float = 300) -> str:
    """Run a script in a folder, the first failure ends it; whatever it left in the background is stopped.

    Returns what it printed.
    """
    env = {
        **os.environ,
        "EXCHANGE_HOME": str(home.folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    stop = "trap 'jobs -p | xargs -r kill; wait' EXIT\n"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", stop + script],
        cwd=folder, env=env, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def _script(kind: str, text: str) -> str:
    if kind == "python":
        return f"python - <<'PAGE'\n{text}PAGE\n"
    if kind == "console":
        text = "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE)) + "\n"
    return "\n".join(line for line in _OURS.sub("", text).splitlines() if line.strip() != "export") + "\n"
