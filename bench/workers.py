"""Real workers of the hop as child processes, and what they and the broker cost in CPU time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from exchange.cli.running import options_of
from exchange.cli.world import World

SAMPLE_S = 0.02
STOP_S = 30.0


@contextmanager
def running_workers(world: World, count: int = 1, prefix: Sequence[str] = ()) -> Iterator[list[psutil.Process]]:
    """`exchange worker` so many times, until the block ends. `prefix`: a profiler's command line."""
    children: list[subprocess.Popen[bytes]] = []
    log = world.home.run / "bench-workers.out"
    with log.open("ab") as output:
        try:
            for number in range(1, count + 1):
                command = [*prefix, sys.executable, "-m", "exchange", *options_of(world), "worker", f"hop-{number}"]
                children.append(subprocess.Popen(command, stdout=output, stderr=output, cwd=Path.cwd()))
            yield [psutil.Process(child.pid) for child in children]
            ended = [child.returncode for child in children if child.poll() is not None]
            if ended:
                raise RuntimeError(f"a worker ended with {ended}:\n{log.read_text('utf-8')[-2000:]}")
        finally:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGTERM)
            for child in children:
                try:
                    child.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait(STOP_S)


class CpuMeter:
    """Samples the CPU time of processes, so that what a span of wall time cost can be read off afterwards."""

    def __init__(self, processes: dict[str, Sequence[psutil.Process]]) -> None:
        self._processes = {**processes, "bench": [psutil.Process(os.getpid())]}
        self._times: list[float] = []
        self._spent: dict[str, list[float]] = {name: [] for name in (*self._processes, "machine")}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="cpu-meter")

    def __enter__(self) -> CpuMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def spent(self, name: str, begin: float, end: float) -> float:
        """CPU seconds between two moments (`time.time`). ``machine``: of everything that ran."""
        return self._at(name, end) - self._at(name, begin)

    def shares(self, begin: float, end: float) -> dict[str, float]:
        """Cores kept busy, on average; ``others``: by what isn't ours, which disturbs the measurement."""
        span = end - begin
        shares = {name: self.spent(name, begin, end) / span for name in self._spent}
        shares["others"] = shares.pop("machine") - sum(shares[name] for name in self._processes)
        return {name: round(share, 2) for name, share in shares.items()}

    def _at(self, name: str, moment: float) -> float:
        values = self._spent[name]
        right = min(max(bisect_left(self._times, moment), 1), len(values) - 1)
        before, after = self._times[right - 1], self._times[right]
        share = min(max((moment - before) / (after - before), 0.0), 1.0)
        return values[right - 1] + share * (values[right] - values[right - 1])

    def _sample(self) -> None:
        last: dict[str, float] = dict.fromkeys(self._processes, 0.0)
        while not self._over.wait(SAMPLE_S):
            for name, processes in self._processes.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    last[name] = sum(_cpu_s(process) for process in processes)
                self._spent[name].append(last[name])
            now = psutil.cpu_times()
            self._spent["machine"].append(sum(now) - now.idle - now.iowait - now.guest - now.guest_nice - now.steal)
            self._times.append(time.time())


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
