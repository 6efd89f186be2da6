"""`python -m bench [names…]`: run the benchmarks and write ``bench/results.json``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from bench import (
    archive,
    bare,
    claims,
    console,
    costs,
    deep,
    edxml,
    flame,
    hop,
    latency,
    month,
    promises,
    proving,
    scale_page,
    scaling,
    search,
    throughput,
)
from bench.results import Result, result, save, show, told
from bench.world import SEED, BenchWorld, bench_world
from bench.yardstick import verified_per_second


def yardstick(_: BenchWorld) -> Iterator[Result]:
    """The yardstick by itself."""
    yield result("yardstick", [verified_per_second() for _ in range(5)], "signatures/s")


SCALE = "scale"
"""Not a benchmark: the model of the nation, which only reads what the benchmarks found."""

BENCHES: dict[str, Callable[[BenchWorld], Iterator[Result]]] = {
    "yardstick": yardstick,
    "bare": bare.measure,
    "hop": hop.measure,
    "scaling": scaling.measure,
    "latency": latency.measure,
    "claims": claims.measure,
    "month": month.measure,
    "costs": costs.measure,
    "promises": promises.measure,
    "archive": archive.measure,
    "search": search.measure,
    "console": console.measure,
    "edxml": edxml.measure,
    "proving": proving.measure,
    "deep": deep.measure,
    "throughput": throughput.measure,
    "flame": flame.measure,
}


def main() -> None:
    """Run those named, or all; each result is written as soon as it is there, and docs/scaling.md in the end."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join([*BENCHES, SCALE])}")
    names = parser.parse_args().names or [*BENCHES, SCALE]
    if unknown := [name for name in names if name not in {*BENCHES, SCALE}]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join([*BENCHES, SCALE])}")
    run([name for name in names if name in BENCHES])
    scale_page.main()


def run(names: list[str]) -> None:
    """Run these benchmarks in one world, if there are any."""
    if not names:
        return
    with bench_world() as bench:
        for name in names:
            told(name)
            found = list(BENCHES[name](bench))
            for one in found:
                show(one)
            save(found, SEED)


if __name__ == "__main__":
    main()
