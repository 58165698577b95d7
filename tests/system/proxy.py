"""A server in between that lets answers get lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on in both directions, but for the answer to a request that begins with `losing`."""

    def __init__(self, endpoint: str) -> None:
        self._target = (urlsplit(endpoint).hostname, urlsplit(endpoint).port)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.losing: bytes | None = None
        """The next request that begins like this loses its answer."""
        self.lost = 0

    def serve(self) -> None:
        """Until the socket is closed."""
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _connect(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        dropping = threading.Event()
        back = threading.Thread(target=self._answer, args=(server, client, dropping), daemon=True)
        back.start()
        with client, server, suppress(OSError):
            while data := client.recv(65_536):
                if self.losing and data.startswith(self.losing):
                    self.losing = None
                    dropping.set()
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket, dropping: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if dropping.is_set() and b" 100 " not in data.split(b"\r\n", 1)[0]:
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


@contextmanager
def proxying(endpoint: str) -> Iterator[Proxy]:
    """A proxy that serves as long as the block lasts."""
    proxy = Proxy(endpoint)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
