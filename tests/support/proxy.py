"""A network between a client and a broker that a test can cut: a TCP proxy that stops carrying.

A cut loses nothing that TCP would not send again: connections stay open and silent, new ones get no answer, and when
the cut is mended the bytes that waited are carried on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

_CHUNK = 65_536


class Proxy:
    """Listens on `port` of 127.0.0.1 and carries to `target`; `close` it."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._carries = threading.Event()
        self._carries.set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._sockets: list[socket.socket] = []
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Carry nothing from now on."""
        self._carries.clear()

    def mend(self) -> None:
        """Carry again."""
        self._carries.set()

    def close(self) -> None:
        """Break all connections and listen no more."""
        self._is_open = False
        self._carries.set()
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while self._is_open:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, broker]
                for one, other in ((client, broker), (broker, client)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(_CHUNK):
                self._carries.wait()
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
