"""The README's pictures of the console: real pages, of a real exchange that the nation sends through meanwhile.

`python -m tests.support.screenshots [--minutes 3] [--folder docs]`; needs the system's Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect

from exchange.cli.running import options_of
from exchange.cli.services import prepare
from exchange.cli.world import World
from exchange.local.crew import Crew, stop_crew
from exchange.local.home import Home
from exchange.local.progress import silent
from exchange.local.services import down, up
from tests.support.consoles import ABSENT, CHROMIUM, WIDE, Console, chromium, serving, visiting

RATE = 25
"""Records a second: a working day's rate of the national axis."""
KILOBYTES_MAX = 300


def main() -> None:
    """Make them."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=int, default=3, help="how long the nation sends before")
    asked.add_argument("--folder", type=Path, default=Path("docs"))
    options = asked.parse_args()
    if CHROMIUM is None:
        sys.exit(ABSENT)
    folder = Path(tempfile.mkdtemp(prefix="exchange-pictures-"))
    world = World(Home(folder / "home"))
    try:
        up(world.home)
        prepare(world, silent, change=True)
        Crew(world.home, options_of(world), workers=1).start()
        sent = ["simulate", "--documents", str(RATE * 60 * options.minutes), "--rate", str(RATE), "--seed", "7"]
        subprocess.run([sys.executable, "-m", "exchange", *options_of(world), *sent], check=True)
        with serving(world, "auditor") as console:
            picture(console, options.folder)
    finally:
        stop_crew(world.home)
        down(world.home)
        shutil.rmtree(folder)


def picture(console: Console, folder: Path) -> None:
    """*Now*, light in English and dark in Vietnamese."""
    with chromium() as browser:
        for scheme, language in (("light", "en"), ("dark", "vi")):
            with visiting(browser, WIDE, scheme) as visitor:
                visitor.page.goto(f"{console.url}/{language}/now")
                expect(visitor.page.locator("figure svg")).to_have_count(4)
                expect(visitor.page.locator("tr.running")).not_to_have_count(0)
                expect(visitor.page.locator(".figure dd:not(.small)", has_text="–")).to_have_count(0)
                file = folder / f"console-{scheme}.png"
                visitor.page.screenshot(path=file)
                size = file.stat().st_size
                assert size < KILOBYTES_MAX * 1000, (file, size)


if __name__ == "__main__":
    main()
