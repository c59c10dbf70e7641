"""The way to other machines: straight or through a proxy, and whose certificates count. Must not open connections."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from backends.errors import NearfarError, RouteUnusable

PROXY_PORT = 8080
MAX_HEAD_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Route:
    """`proxy_url` is http://HOST[:PORT]; `ca_file` a PEM file of authorities trusted besides the system's own."""

    proxy_url: str | None = None
    ca_file: str | None = None

    @property
    def proxy(self) -> tuple[str, int] | None:
        """Host and port of the proxy; raises RouteUnusable."""
        if self.proxy_url is None:
            return None
        parts = urlsplit(self.proxy_url)
        if parts.scheme != "http" or not parts.hostname:
            raise RouteUnusable(
                "The proxy in Settings cannot be used: its address does not begin with http://.",
                fix="Write it as http://HOST:PORT; the connection inside it stays encrypted from end to end.",
            )
        return parts.hostname, parts.port or PROXY_PORT


def tunnel_request(host: str, port: int) -> bytes:
    """What asks a proxy to pass everything on unread (RFC 9110, section 9.3.6)."""
    name = f"[{host}]" if ":" in host else host
    return f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode("ascii")


def check_tunnel(head: bytes, proxy: tuple[str, int], host: str) -> None:
    """Raises RouteUnusable unless the proxy's reply, whole with its empty line, opens the tunnel."""
    whole = head.endswith(b"\r\n\r\n")
    parts = head.split(b"\r\n", 1)[0].split(b" ", 2)
    status = int(parts[1]) if len(parts) > 1 and parts[0].startswith(b"HTTP/1.") and parts[1].isdigit() else 0
    if 200 <= status < 300 and whole:
        return
    place = f"{proxy[0]}:{proxy[1]}"
    match status:
        case 0:
            raise RouteUnusable(f"What answers at {place} is not a proxy.")
        case _ if not whole:
            raise RouteUnusable(f"The proxy {place} broke off while it opened the way to {host}.")
        case 407:
            raise RouteUnusable(
                f"The proxy {place} asks for a name and a password, which Nearfar does not send.",
                fix="Ask whoever runs it for a way without a password, or run a local proxy that logs in for you.",
            )
        case 403:
            raise RouteUnusable(f"The proxy {place} does not let this machine reach {host}.")
        case _:
            raise RouteUnusable(f"The proxy {place} could not reach {host} (HTTP {status}).")


@contextmanager
def reaching(proxy: tuple[str, int] | None) -> Iterator[None]:
    """Around the attempt to connect to a proxy: where that fails, the proxy is named, not the server behind it.

    Raises RouteUnusable. Without a proxy nothing is changed.
    """
    try:
        yield
    except NearfarError:
        raise
    except Exception as error:
        if proxy is None:
            raise
        why = _why_not(error)
        raise RouteUnusable(f"The proxy {proxy[0]}:{proxy[1]} {why}.", fix="Look at the proxy in Settings.") from error


def _why_not(error: BaseException) -> str:
    """HTTP clients wrap what the system said."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ConnectionRefusedError):
            return "does not answer: the connection was refused"
        if isinstance(link, socket.gaierror):
            return "could not be found by its name"
        if isinstance(link, TimeoutError):
            return "did not answer in time"
        link = link.__cause__ or link.__context__
    return "cannot be reached"


@lru_cache(maxsize=4)
def trust(ca_file: str | None) -> ssl.SSLContext:
    """The system's trust store and the person's own file; nothing from the environment. Raises RouteUnusable.

    Takes 0.1 s the first time: the certificates of the system are read.
    """
    import httpx2

    context = httpx2.create_ssl_context(trust_env=False)
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) if not isinstance(error, ssl.SSLError) else None
            raise RouteUnusable(
                f"The file of extra certificates cannot be used: {reason or 'it holds no certificate'}.",
            ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
