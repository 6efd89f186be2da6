"""An agency's own system that takes posts: a real HTTP server on a loopback port, which answers as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from tests.support.gateways import free_port

Answer = tuple[int, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Posted:
    """One post as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def parts(self) -> list[tuple[str, str, bytes]]:
        """Name, file name and content of each part of the form."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        whole = BytesParser(policy=HTTP).parsebytes(head + self.body)
        found = []
        for part in cast(list[EmailMessage], list(whole.iter_parts())):
            content = cast(bytes, part.get_payload(decode=True))
            found.append(
                (str(part.get_param("name", header="content-disposition")), part.get_filename() or "", content)
            )
        return found


@dataclass(slots=True)
class Receiver:
    """A server. `answer`: what to say to a post, 204 by default."""

    port: int
    posts: list[Posted] = field(default_factory=list)
    answer: Callable[[Posted], Answer] = lambda _: (204, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver until the block ends."""
    receiver = Receiver(port or free_port())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posted = Posted(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.posts.append(posted)
            status, headers = receiver.answer(posted)
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does to a connection what it likes; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        thread.join(10)
