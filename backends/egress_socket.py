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
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backends.egress import Egress, Entry
from backends.egress_guard import admitted
from backends.egress_policy import address_of, literal_of, on_this_machine
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
        opening = _Opening()
        entry = egress.begin(purpose, host, port, opening.abort)
        until = time.monotonic() + timeout_s
        try:
            opening.reach(egress, entry, until)
            if urlsplit(url).scheme == "https":
                egress.check_open(entry)
                opening.encrypt(trust(egress.route.ca_file), host)
            opening.sock.settimeout(timeout_s)
            connection = cls(egress, purpose, opening.sock, entry)
            entry.abort = connection.abort
            egress.check_open(entry)  # the policy may have changed while it opened
        except BaseException:
            entry.became("failed")
            opening.close()
            raise
        entry.became("open")
        return connection

    @property
    def bytes_received(self) -> int:
        return self._entry.bytes_received

    def begin_request(self) -> None:
        """Ask the policy again, which may have changed since the connection was opened, and count the request."""
        self._check()
        self._entry.requests += 1

    def _check(self) -> None:
        try:
            self._egress.check_open(self._entry)
        except NetworkNotAllowed:
            self.abort()
            raise

    def sendall(self, data: bytes) -> None:
        self._socket.sendall(data)
        self._entry.bytes_sent += len(data)

    def receive_into(self, buffer: WriteableBuffer) -> int:
        """Raises NetworkNotAllowed where the person has forbidden this host since: a long body stops there too."""
        self._check()
        received = self._socket.recv_into(buffer)
        self.at_end = received == 0
        self._entry.bytes_received += received
        return received

    def has_more(self) -> bool:
        """Whether a read would return at once. One of an encrypted connection brings 16 KiB at most."""
        sock = self._socket
        return (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0) or _is_readable(sock)

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


class _Opening:
    """A socket on its way; `abort` ends it from any thread, also while it connects or waits for a proxy."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._aborted = False

    @property
    def sock(self) -> socket.socket:
        assert self._socket is not None, "asked for once it is there"
        return self._socket

    def _take(self, sock: socket.socket) -> None:
        self._socket = sock
        if self._aborted:
            self.abort()

    def abort(self) -> None:
        self._aborted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Raises OSError; an abort ends the handshake too."""
        encrypted = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
        self._take(encrypted)
        encrypted.do_handshake()

    def reach(self, egress: Egress, entry: Entry, until: float) -> None:
        """Connect, through the proxy where there is one, at most until that moment of the monotonic clock."""
        host, port = entry.proxy or (entry.host, entry.port)
        hosts = literal_of(host) if entry.proxy is None and on_this_machine(host) else (host,)
        with reaching(entry.proxy), admitted(host):
            places = [place for each in hosts for place in socket.getaddrinfo(each, port, 0, socket.SOCK_STREAM)]
            self._first_of(places, egress, entry, until)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if entry.proxy is not None:
            with reaching(entry.proxy):
                self._tunnel(entry.proxy, entry, until)

    def _first_of(self, places: Sequence[Any], egress: Egress, entry: Entry, until: float) -> None:
        for number, (family, kind, protocol, _name, address) in enumerate(places, 1):
            egress.check_open(entry)
            self._take(socket.socket(family, kind, protocol))
            try:
                self.sock.settimeout(_left_s(until))
                self.sock.connect(address)
            except OSError:
                self.close()
                if number == len(places):
                    raise
            else:
                return
        raise OSError(f"there is no address for {entry.host}")

    def _tunnel(self, proxy: tuple[str, int], entry: Entry, until: float) -> None:
        """Raises RouteUnusable where the proxy does not open it. These bytes are the proxy's, and are not counted."""
        self.sock.sendall(tunnel_request(entry.host, entry.port))
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < MAX_HEAD_BYTES:
            self.sock.settimeout(_left_s(until))
            data = self.sock.recv(1)  # never a byte of what comes after the head
            if not data:
                break
            head += data
        check_tunnel(head, proxy, entry.host)


def _left_s(until: float) -> float:
    """Seconds until then; raises TimeoutError where none are left."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s
