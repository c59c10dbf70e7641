"""Asks a server for ranges of a file over one recorded connection at a time. Must not write files or retry.

The heads are read by http.client: its bodies come straight off the socket, at about a fifth of the CPU time that the
rest of the app's HTTP client takes, and without holding Python's lock meanwhile (docs/measurements/download.md).
"""

from __future__ import annotations

import contextlib
import http.client
import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from backends.egress import Egress
from backends.egress_policy import address_of
from backends.errors import NearfarError
from backends.models.download_names import shown
from backends.models.errors import FileMismatch, HubUnreachable, ServerMisbehaved
from backends.models.hub_address import CONTENT_RANGE, MAX_REDIRECTS, HubAddress
from backends.models.hub_failures import is_page, of_connection, of_page, retry_after_s
from backends.version import APP_VERSION

if TYPE_CHECKING:
    import socket

    from backends.egress_socket import Connection

EXPIRED = frozenset({401, 403, 404, 410})
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
LATER = "Press Resume in a few minutes."
MAX_HEAD_BYTES = 256 * 1024


class Lost(Exception):
    """The connection broke or the server was busy: worth another try. `problem` is what to say if no try succeeds."""

    def __init__(self, problem: NearfarError, wait_s: float | None = None) -> None:
        super().__init__(problem.problem.what)
        self.problem = problem
        self.wait_s = wait_s


class Expired(Exception):
    """The signed address is not honoured any more; the hub gives a new one."""


class NoRanges(Exception):
    """The server sends the whole file, whatever part was asked for."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the server says of the bytes that follow. `etag` is its own mark of the file, None without one."""

    start: int
    stop: int
    etag: str | None
    host: str


class RangeClient:
    """For one thread; `abort` from any other ends what it waits for."""

    def __init__(self, egress: Egress, purpose: str, address: HubAddress, timeout_s: float) -> None:
        self._egress = egress
        self._purpose = purpose
        self._address = address
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._aborted = False
        self._connection: Connection | None = None
        self._origin: tuple[str, str, int] | None = None
        self._http: http.client.HTTPConnection | None = None
        self._plug: _Plug | None = None
        self._response: http.client.HTTPResponse | None = None
        self._left = 0

    def abort(self) -> None:
        """For good: the next request fails too."""
        with self._lock:
            self._aborted = True
            if self._connection is not None:
                self._connection.abort()

    def drop(self) -> None:
        """End the present connection from any thread; the next request opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.abort()

    def close(self) -> None:
        """Idempotent; for the thread that reads."""
        with self._lock:
            connection, self._connection = self._connection, None
        self._response = self._http = self._plug = self._origin = None
        if connection is not None:
            connection.close()

    def open(self, url: str, start: int, stop: int, size: int, *, whole: bool = False) -> Head:
        """Ask for bytes `start` to `stop` of a file of `size`; follows redirects to places that were agreed to.

        `whole` asks for all of it without a range. Raises Lost, Expired, NoRanges or a NearfarError.
        """
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(url, None if whole else f"bytes={start}-{stop - 1}")
            headers = {name.lower(): value for name, value in response.getheaders()}
            if response.status in (301, 302, 303, 307, 308):
                self.close()
                url = self._address.follow(url, headers.get("location", ""))
                continue
            try:
                return self._head(url, response, headers, start, stop, size, whole=whole)
            except BaseException:
                self.close()
                raise
        raise ServerMisbehaved(f"{_host(url)} redirects in circles.")

    def read_into(self, buffer: memoryview) -> int:
        """The next bytes as they come, at most what `buffer` holds; 0 where the connection ended early. Raises Lost."""
        response = self._response
        if response is None or self._plug is None:
            return 0
        buffer = buffer[: self._left]
        self._plug.allow(len(buffer))
        try:
            size = self._plug.read_body(response, buffer)
        except NearfarError:
            self.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            host = self._origin[1] if self._origin else ""
            self.close()
            raise Lost(of_connection(error, host)) from error
        self._left -= size
        if not size or (self._left == 0 and not self._ends(response)):
            self.close()
        return size

    def has_more(self) -> bool:
        """Whether `read_into` would not have to wait."""
        connection = self._connection
        return self._response is not None and connection is not None and connection.has_more()

    def _ends(self, response: http.client.HTTPResponse) -> bool:
        """Whether the connection can be used again. A body that says no length must end with its last byte.

        One that does so is not used again: there may be lines without end behind it.
        """
        if response.chunked or response.length is None:
            more = b""
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, NearfarError):
                more = response.read1(1)  # all that counts is here, so nothing that goes wrong now does
            if more:
                self.close()
                raise ServerMisbehaved("The server sends more than the file it announced.")
            return False
        if response.will_close:
            return False
        response.close()
        self._response = None
        return True

    # -- one request ---------------------------------------------------------------------------------------------

    def _send(self, url: str, wanted: str | None) -> http.client.HTTPResponse:
        host = _host(url)
        try:
            connection = self._connected(url)
            connection.begin_request()
            assert self._http is not None
            assert self._plug is not None
            self._plug.allow(0)
            parts = urlsplit(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {
                "User-Agent": f"Nearfar/{APP_VERSION}",
                "Accept-Encoding": "identity",
                **({"Range": wanted} if wanted else {}),
                **self._address.headers(url),
            }
            self._http.request("GET", target, headers=headers)
            response = self._http.getresponse()
            if connection.at_end:  # http.client takes a head that was cut off for a whole one
                raise ConnectionResetError
            return response
        except NearfarError:
            self.close()
            raise
        except (http.client.BadStatusLine, http.client.IncompleteRead, OSError) as error:
            self.close()  # RemoteDisconnected is both a BadStatusLine and an OSError
            raise Lost(of_connection(error, host)) from error
        except (http.client.HTTPException, ValueError) as error:
            self.close()
            raise ServerMisbehaved(f"What answers at {host} does not speak HTTP as it should.") from error

    def _connected(self, url: str) -> Connection:
        origin = (urlsplit(url).scheme, *address_of(url))
        if self._connection is not None and self._origin == origin and self._response is None:
            return self._connection
        self.close()
        connection = self._egress.connect(self._purpose, url, timeout_s=self._timeout_s)
        with self._lock:
            self._connection, self._origin = connection, origin
            if self._aborted:
                connection.abort()
        name = f"[{origin[1]}]" if ":" in origin[1] else origin[1]
        self._http = http.client.HTTPConnection(name, None if _is_default(origin) else origin[2])
        self._http.auto_open = 0  # never past the door
        self._plug = _Plug(connection, origin[1])
        self._http.sock = cast("socket.socket", self._plug)
        return connection

    def _head(
        self,
        url: str,
        response: http.client.HTTPResponse,
        headers: Mapping[str, str],
        start: int,
        stop: int,
        size: int,
        *,
        whole: bool,
    ) -> Head:
        host, status = _host(url), response.status
        if status in BUSY:
            problem = HubUnreachable(f"{host} is too busy or failed on its side (HTTP {status}).", fix=LATER)
            raise Lost(problem, retry_after_s(headers))
        if status in EXPIRED and not is_page(headers):
            raise Expired
        if is_page(headers):
            raise of_page(host)
        if status == 416:
            raise FileMismatch(f"The file on {host} is shorter than the hub announced.")
        if status not in (200, 206):
            raise ServerMisbehaved(f"{host} answered in an unexpected way (HTTP {status}).")
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise ServerMisbehaved(f"{host} sent the file compressed, which nobody asked for.")
        etag = headers.get("etag", "")[:500] or None
        if status == 200:
            _check_size(response.length, size, host)
            if not whole:
                raise NoRanges
            start, stop = 0, size
        else:
            stop = _check_range(headers.get("content-range", ""), start, stop, size, host)
            if response.length is not None and response.length != stop - start:
                raise ServerMisbehaved(f"{host} announced another length than the part that was asked for.")
        self._response, self._left = response, stop - start
        return Head(start, stop, etag, host)


class _Plug:
    """A recorded connection in the place where http.client has a socket; closing is not left to it.

    http.client reads heads and what follows a body's last chunk for as long as they come, so they are counted here.
    """

    def __init__(self, connection: Connection, host: str) -> None:
        self._connection = connection
        self._host = host
        self._allowed = 0
        self._file: io.BufferedReader | None = None

    def allow(self, body_bytes: int) -> None:
        """From now on so many bytes of a body are due, and a head, besides."""
        self._allowed = body_bytes + MAX_HEAD_BYTES

    def _arrived(self, size_bytes: int) -> None:
        self._allowed -= size_bytes
        if self._allowed < 0:
            raise ServerMisbehaved(f"{self._host} sends more before the file than any server has to say.")

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._file = self._connection.reader(self._arrived)
        return self._file

    def read_body(self, response: http.client.HTTPResponse, buffer: memoryview) -> int:
        """One read of `response`. Without chunks straight off the socket: http.client would make a new object of it."""
        if self._file is not None and not response.chunked:
            return self._file.readinto1(buffer)
        data = response.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Whoever made the connection ends it."""


def _check_size(length: int | None, size: int, host: str) -> None:
    if length is not None and length != size:
        word = "shorter" if length < size else "longer"
        raise FileMismatch(f"The file on {host} is {word} than the hub announced: {length:,} bytes, not {size:,}.")


def _check_range(text: str, start: int, stop: int, size: int, host: str) -> int:
    """Where the part ends that is sent, which may be before what was asked for."""
    match = CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise ServerMisbehaved(f"{host} does not say which part of the file it sends (“{shown(text)}”).")
    if match[3] != "*":
        _check_size(int(match[3]), size, host)
    first, last = int(match[1]), int(match[2])
    if first != start or not start <= last < stop:
        raise ServerMisbehaved(f"{host} sent another part of the file than was asked for.")
    return last + 1


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _is_default(origin: tuple[str, str, int]) -> bool:
    return origin[2] == (443 if origin[0] == "https" else 80)
