"""A proxy on loopback that opens tunnels and writes down to where. Must not know what passes through them."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class ProxyServer:
    """Every tunnel leads to `upstream`, whatever host was asked for, so that names need not exist.

    `reply` answers every request in place of a tunnel.
    """

    def __init__(self, upstream: tuple[str, int], *, reply: bytes | None = None) -> None:
        self.asked: list[str] = []
        self._upstream = upstream
        self._reply = reply
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: list[socket.socket] = [self._listening]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> ProxyServer:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(client)
            thread = threading.Thread(target=self._tunnel, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head and (data := client.recv(4096)):
                head += data
            self.asked.append(head.split(b"\r\n", 1)[0].decode())
            if self._reply is not None:
                client.sendall(self._reply)
                client.shutdown(socket.SHUT_RDWR)
                return
            server = socket.create_connection(self._upstream)
            self._open.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            self._threads.append(back)
            back.start()
            _pump(client, server)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
