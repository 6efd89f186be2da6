"""The load on a gateway, from a process of its own: `python -m bench.gateway_load PLAN`, which prints one JSON object.

Speaks HTTP/1.1 over plain sockets, with requests that were made before: what it costs itself is little, and known
(`cpu_s`). `PLAN` is a JSON file, see the functions.
"""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AVRO = "application/avro"
OPENING_AT_ONCE = 200


class Line:
    """One connection that asks and is answered, in turn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Line:
        """Connect to the loopback address."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))

    async def ask(self, request: bytes) -> bytes:
        """The body of a good answer; RuntimeError for any other."""
        self.send(request)
        return await self.answer()

    def send(self, request: bytes) -> None:
        """Ask, and leave the answer for later."""
        self._writer.write(request)

    async def answer(self) -> bytes:
        """The next answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"http/1.1 2"):
            raise RuntimeError(f"{head[:60]!r} {body[:300]!r}")
        return body

    def close(self) -> None:
        """Leave."""
        self._writer.close()


def post(token: str, body: bytes) -> bytes:
    """A submission."""
    head = f"POST /v1/statements HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {AVRO}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def poll(token: str, cursor: str, wait_s: int) -> bytes:
    """A question for the inbox."""
    query = f"limit=500&wait={wait_s}" + (f"&cursor={cursor}" if cursor else "")
    return f"GET /v1/inbox?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode()


async def submit(plan: dict[str, Any]) -> dict[str, Any]:
    """`posts`: (token, body in base64); `lines`: connections. All at once, a fifth of it to warm up."""
    requests = [post(token, base64.b64decode(body)) for token, body in plan["posts"]]
    lines = [await Line.open(plan["port"]) for _ in range(plan["lines"])]

    async def work(line: Line, mine: Sequence[bytes]) -> None:
        for request in mine:
            await line.ask(request)

    async def all_of(part: Sequence[bytes]) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(work(line, part[n :: len(lines)]) for n, line in enumerate(lines)))
        return time.perf_counter() - began

    warm = len(requests) // 5
    await all_of(requests[:warm])
    began_s, cpu_s = time.time(), time.process_time()
    took_s = await all_of(requests[warm:])
    spent_s = time.process_time() - cpu_s
    return {"requests": len(requests) - warm, "took_s": took_s, "began_s": began_s, "cpu_s": spent_s}


async def latency(plan: dict[str, Any]) -> dict[str, Any]:
    """`posts`, sent at `rate` a second; `recipients`: tokens, each with a long poll; from sending to its answer."""
    requests = [post(token, base64.b64decode(body)) for token, body in plan["posts"]]
    sent: dict[tuple[str, int, int], float] = {}
    arrived: dict[tuple[str, int, int], float] = {}
    lines = [await Line.open(plan["port"]) for _ in range(plan["lines"])]
    waiting = [await Line.open(plan["port"]) for _ in plan["recipients"]]
    cursors = [await _end(line, token) for line, token in zip(waiting, plan["recipients"], strict=True)]

    async def follow(line: Line, token: str, cursor: str) -> None:
        while True:
            page = json.loads(await line.ask(poll(token, cursor, 30)))
            now, cursor = time.perf_counter(), page["cursor"]
            for one in page["deliveries"]:
                arrived.setdefault((one["topic"], one["partition"], one["offset"]), now)

    async def send(line: Line, mine: Sequence[tuple[float, bytes]], began: float) -> None:
        for due, request in mine:
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            at = time.perf_counter()
            for one in json.loads(await line.ask(request))["receipts"]:
                sent[one["topic"], one["partition"], one["offset"]] = at

    following = [asyncio.create_task(follow(*one)) for one in zip(waiting, plan["recipients"], cursors, strict=True)]
    timed = [(number / plan["rate"], request) for number, request in enumerate(requests)]
    began = time.perf_counter()
    await asyncio.gather(*(send(line, timed[n :: len(lines)], began) for n, line in enumerate(lines)))
    async with asyncio.timeout(60):
        while len(arrived.keys() & sent.keys()) < len(sent):  # noqa: ASYNC110  the load is over: only to end
            await asyncio.sleep(0.05)
    for task in following:
        task.cancel()
    skipped = int(plan["warm_up_s"] * plan["rate"])
    took = sorted((arrived[key] - at) * 1000 for key, at in sorted(sent.items(), key=lambda item: item[1])[skipped:])
    return {"p50_ms": _quantile(took, 0.5), "p99_ms": _quantile(took, 0.99), "count": len(took)}


async def idle(plan: dict[str, Any]) -> dict[str, Any]:
    """`recipients`: tokens; `each`: long polls of one; says when all wait, and goes on when a line comes in."""
    tokens = [token for token in plan["recipients"] for _ in range(plan["each"])]
    cursors = {}
    for token in plan["recipients"]:
        line = await Line.open(plan["port"])
        cursors[token] = await _end(line, token)
        line.close()
    lines: list[Line] = []
    for start in range(0, len(tokens), OPENING_AT_ONCE):
        some = tokens[start : start + OPENING_AT_ONCE]
        opened = await asyncio.gather(*(Line.open(plan["port"]) for _ in some))
        for line, token in zip(opened, some, strict=True):
            line.send(poll(token, cursors[token], 60))
        lines += opened
    print(json.dumps({"waiting": len(lines)}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for line in lines:
        line.close()
    return {"waiting": len(lines)}


async def _end(line: Line, token: str) -> str:
    cursor, more = "", True
    while more:
        page = json.loads(await line.ask(poll(token, cursor, 0)))
        cursor, more = page["cursor"], page["more"]
    return cursor


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main() -> None:
    """Do what the plan says."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    work = {"submit": submit, "latency": latency, "idle": idle}[plan["kind"]]
    print(json.dumps(asyncio.run(work(plan))), flush=True)


if __name__ == "__main__":
    main()
