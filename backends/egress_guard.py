"""Refuses every connection that goes around `backends/egress`, whoever opens it. Must not know what passes or why.

It listens to Python's audit events, so no library is too deep for it. Native code raises none: that the worker's
libraries have no way to the network is a proof of its own (docs/privacy.md).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Told host and port of what was refused. It runs inside the audit event: it must not open anything itself.
OnRefusal = Callable[[str, int], None]

CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
NO_PLACE = "unknown"  # a socket is refused before anybody says where it is to lead
INTERNET = frozenset({int(socket.AF_INET), int(socket.AF_INET6)})

_admitted: ContextVar[bool] = ContextVar("nearfar_admitted", default=False)
_names: Counter[str] = Counter()
_lock = threading.Lock()
_listener: OnRefusal | None = None
_installed = False


@contextmanager
def admitted(host: str) -> Iterator[None]:
    """What `backends/egress` does inside may look `host` up and connect. The name counts apart: threads look it up."""
    token = _admitted.set(True)
    with _lock:
        _names[host] += 1
    try:
        yield
    finally:
        _admitted.reset(token)
        with _lock:
            _names[host] -= 1
            if _names[host] <= 0:
                del _names[host]


def guard() -> None:
    """From here on, for as long as this process lives; idempotent. In a child process it leaves no way out at all."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_hear)


def tell(listener: OnRefusal) -> None:
    """Who is told of refusals from now on; without anybody they are refused all the same."""
    global _listener
    _listener = listener


def _hear(event: str, args: tuple[object, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event == "socket.__new__":
        # A socket that is not even made can neither connect nor listen, and listening raises no event.
        if args[1] in INTERNET and not _admitted.get() and not _is_socket_pair():
            _refuse(NO_PLACE, 0)
    elif event in CONNECTS or event == "socket.bind":
        _judge_address(event, args)
    elif event == "socket.getnameinfo":
        if not _admitted.get():
            _refuse(*_place(args[0]))
    elif event in LOOK_UPS and not _may_look_up(args[0]):
        _refuse(_text(args[0]), 0)


def _judge_address(event: str, args: tuple[object, ...]) -> None:
    family = getattr(args[0], "family", None)
    if family is None or int(family) not in INTERNET or _admitted.get() or _is_socket_pair():
        return
    if event == "socket.sendmsg" and args[1] is None:  # on a socket that is connected already
        return
    host, port = _place(args[1])
    _refuse(host, port)


def _may_look_up(host: object) -> bool:
    """Numbers are no question to anybody."""
    name = _text(host)
    if not name or _names[name] > 0:
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_socket_pair() -> bool:
    """Windows has no pairs of sockets: Python joins two over loopback, which every event loop does at its start."""
    if sys.platform != "win32":
        return False
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("socketpair", "_fallback_socketpair"):
            return True
        frame = frame.f_back
    return False


def _place(address: object) -> tuple[str, int]:
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[1], int):
        return _text(address[0]), address[1]
    return _text(address), 0


def _text(host: object) -> str:
    if isinstance(host, bytes | bytearray):
        return bytes(host).decode(errors="replace")
    return host if isinstance(host, str) else ""


def _refuse(host: str, port: int) -> None:
    listener = _listener
    if listener is not None:
        listener(host, port)
    raise PermissionError(errno.EACCES, "Nearfar refused a connection that went around its own door")
