"""Blocking connections behind `Egress.connect`, for threads that move many bytes: checked and counted like any other.

Must not read what passes. A download would cost the engine loop, on which answers are stamped, too many turns.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backends.egress import Egress, Entry
from backends.egress_guard import admitted
from backends.egress_policy import address_of, on_this_machine
from backends.egress_route import MAX_HEAD_BYTES, check_tunnel, reaching, trust, tunnel_request
from backends.errors import NetworkNotAllowed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Connection:
    """One TCP connection, encrypted for https. One thread reads and writes; any thread may `abort` it."""

    def __init__(self, egress: Egress, purpose: str, sock: socket.socket, entry: Entry) -> None:
        self._egress = egress
        self._purpose = purpose
        self._socket = sock
        self._entry = entry
        self._lock = threading.Lock()
        self._closed = False
        self.at_end = False

    @classmethod
    def open(cls, egress: Egress, purpose: str, url: str, timeout_s: float) -> Connection:
        """As `Egress.connect`, which has asked the policy. `timeout_s` holds for each step, later reads included."""
        host, port = address_of(url)
        entry = egress.begin(purpose, host, port)
        proxy = egress.route.proxy if entry.via else None
        try:
            with reaching(proxy), admitted((proxy or (host, port))[0]):
                sock = socket.create_connection(proxy or (host, port), timeout_s)
        except BaseException:
            entry.became("failed")
            raise
        try:
            _refuse_a_stranger(sock, entry)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxy is not None:
                _open_tunnel(sock, proxy, entry)
            if urlsplit(url).scheme == "https":
                sock = trust(egress.route.ca_file).wrap_socket(sock, server_hostname=host)
        except BaseException:
            entry.became("failed")
            sock.close()
            raise
        connection = cls(egress, purpose, sock, entry)
        entry.abort = connection.abort
        entry.became("open")
        return connection

    @property
    def bytes_received(self) -> int:
        return self._entry.bytes_received

    def begin_request(self) -> None:
        """Ask the policy again, which may have changed since the connection was opened, and count the request."""
        self._egress.check_host(self._purpose, self._entry.host, self._entry.port)
        self._entry.requests += 1

    def sendall(self, data: bytes) -> None:
        self._socket.sendall(data)
        self._entry.bytes_sent += len(data)

    def receive_into(self, buffer: WriteableBuffer) -> int:
        """Raises NetworkNotAllowed where the person has forbidden this host since: a long body stops there too."""
        if not self._egress.policy.allows(self._entry.host, self._purpose):
            self.abort()
            self._egress.check_host(self._purpose, self._entry.host, self._entry.port)
        received = self._socket.recv_into(buffer)
        self.at_end = received == 0
        self._entry.bytes_received += received
        return received

    def has_more(self) -> bool:
        """Whether more has arrived than one read of an encrypted connection gives, which is at most 16 KiB."""
        sock = self._socket
        return isinstance(sock, ssl.SSLSocket) and (sock.pending() > 0 or _is_readable(sock))

    def reader(self, arrived: Callable[[int], None]) -> io.BufferedReader:
        """What arrives, as a file. Closing that leaves the connection open for the next request.

        `arrived` is told of each piece how many bytes it has; what it raises ends the read.
        """
        return io.BufferedReader(_Raw(self, arrived))

    def abort(self) -> None:
        """End it from any thread; a read that waits returns at once. Idempotent."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own: it would let the next read return what is still encrypted.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Idempotent; for the thread that reads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._entry.became("closed")
            self._socket.close()


class _Raw(io.RawIOBase):
    def __init__(self, connection: Connection, arrived: Callable[[int], None]) -> None:
        self._connection = connection
        self._arrived = arrived

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        received = self._connection.receive_into(buffer)
        self._arrived(received)
        return received


def _is_readable(sock: socket.socket) -> bool:
    if sys.platform == "win32":
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # select knows no file numbers above 1023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _refuse_a_stranger(sock: socket.socket, entry: Entry) -> None:
    """A name such as localhost counts as this machine only if the address behind it does."""
    if not on_this_machine(entry.host) or on_this_machine(str(sock.getpeername()[0])):
        return
    entry.became("refused")
    raise NetworkNotAllowed(f"{entry.host} does not lead to this machine, so nothing was sent.")


def _open_tunnel(sock: socket.socket, proxy: tuple[str, int], entry: Entry) -> None:
    """Raises RouteUnusable where the proxy does not open it. These bytes are the proxy's, and are not counted."""
    sock.sendall(tunnel_request(entry.host, entry.port))
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        data = sock.recv(1)  # never a byte of what comes after the head
        if not data:
            break
        head += data
    check_tunnel(head, proxy, entry.host)
