"""A TCP proxy that does to bytes what networks do: loses, delays, cuts, and leads elsewhere."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Proxy:
    """Forwards connections to ``target``, a port of this machine.

    Attributes:
        dead: Connections that are open now get nothing through any more, and no end either: a path
            that died without RST. New ones work.
        refuses: New connections are closed at once.
        delay: Seconds that what clients send waits on its way.
        swallow_replies: What the server answers does not come back.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.refuses = False
        self.swallow_replies = False
        self._links: list[_Link] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many were ever opened."""
        return len(self._links)

    def kill_paths(self) -> None:
        """Let the connections that are open go dead."""
        for link in self._links:
            link.dead = True

    def replay(self) -> None:
        """Send all that clients sent once more, over new connections: copies that come late."""
        for sent in [bytes(link.sent) for link in self._links]:
            with socket.create_connection(("127.0.0.1", self.target)) as late:
                late.sendall(sent + b"*1\r\n$4\r\nQUIT\r\n")
                while late.recv(65536):
                    pass

    def cut(self) -> None:
        """Close the connections that are open."""
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuses:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                self._links.append(_Link(self, client, server))

    def close(self) -> None:
        self._listener.close()
        self.cut()


class _Link:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy = proxy
        self.dead = False
        self.sent = bytearray()
        self._sockets = client, server
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
        threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if to_server:
                    self.sent += data
                if to_server and self.proxy.delay:
                    time.sleep(self.proxy.delay)
                if self.dead or (self.proxy.swallow_replies and not to_server):
                    continue
                sink.sendall(data)
        if not self.dead:
            self.close()

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """A proxy before the server at the port ``target``."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
