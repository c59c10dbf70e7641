"""The ways in which the stand-in hub misbehaves: what each does to a file's answer. Must not know the app's code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fakes.hub_server import CdnHandler, HubHandler
    from tests.fakes.hub_state import Wanted

PAGE = b"<!doctype html><html><title>Sign in to the guest network</title></html>"
FOREIGN = "https://huggingface.co.evil.com/file"
BODY = bytes(64 * 1024)
SLOW_S = 0.05

Fault = Callable[["CdnHandler", "Wanted"], None]


def wrong_hash(answer: CdnHandler, wanted: Wanted) -> None:
    """The right size, one byte changed."""
    data = bytearray(wanted.read())
    at = 1000 - wanted.start
    if 0 <= at < len(data):
        data[at] ^= 1
    answer.head(206, wanted.head())
    answer.body(bytes(data), wanted.start)


def too_short(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, wanted.head(total=wanted.size - 10))
    answer.body(wanted.read(), wanted.start)


def too_long(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, wanted.head(total=wanted.size + 10))
    answer.body(wanted.read(), wanted.start)


def ranges_ignored(answer: CdnHandler, wanted: Wanted) -> None:
    whole = wanted.whole()
    answer.head(200, {"Content-Length": str(whole.size), "ETag": whole.etag})
    answer.send_span(whole)


def changed_etag(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, {**wanted.head(), "ETag": f'"{time.monotonic_ns()}"'})
    answer.send_span(wanted)


def html(answer: CdnHandler, _wanted: Wanted) -> None:
    answer.head(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(PAGE))})
    answer.raw(PAGE)


def not_gguf(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, wanted.head())
    answer.body(b"PK\x03\x04" + wanted.read()[4:], wanted.start)


def gzip(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, {**wanted.head(), "Content-Encoding": "gzip"})
    answer.send_span(wanted)


def traversal_name(answer: CdnHandler, wanted: Wanted) -> None:
    """Honest bytes under a name that leads elsewhere."""
    answer.head(206, {**wanted.head(), "Content-Disposition": 'attachment; filename="../../../evil.gguf"'})
    answer.send_span(wanted)


def endless(answer: CdnHandler, wanted: Wanted) -> None:
    """A body that never ends, in chunks; it begins like the file."""
    head = wanted.head()
    del head["Content-Length"]
    answer.head(206, {**head, "Transfer-Encoding": "chunked"})
    data = wanted.read()
    answer.raw(b"%x\r\n%s\r\n" % (len(data), data))
    while True:
        answer.raw(b"%x\r\n%s\r\n" % (len(BODY), BODY))


def endless_continue(answer: CdnHandler, _wanted: Wanted) -> None:
    """The head of an answer that is only ever announced."""
    while True:
        answer.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def endless_trailer(answer: CdnHandler, wanted: Wanted) -> None:
    """All of the bytes in chunks, then lines without end behind them."""
    _in_chunks(answer, wanted, wanted.read())


def endless_trailer_early(answer: CdnHandler, wanted: Wanted) -> None:
    """As `endless_trailer`, but the lines begin when half of the bytes are there."""
    _in_chunks(answer, wanted, wanted.read()[: (wanted.stop - wanted.start) // 2])


def _in_chunks(answer: CdnHandler, wanted: Wanted, data: bytes) -> None:
    head = wanted.head()
    del head["Content-Length"]
    answer.head(206, {**head, "Transfer-Encoding": "chunked"})
    answer.raw(b"%x\r\n%s\r\n0\r\n" % (len(data), data))
    while True:
        answer.raw(b"X-More: 1\r\n" * 1000)


def endless_until_closed(answer: CdnHandler, wanted: Wanted) -> None:
    """As `endless`, without chunks or a length."""
    head = wanted.head()
    del head["Content-Length"]
    answer.head(206, {**head, "Connection": "close"})
    answer.raw(wanted.read())
    while True:
        answer.raw(BODY)


def slow_loris(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, wanted.head())
    for at in range(wanted.start, wanted.stop):
        answer.body(wanted.read(at, at + 1), at)
        time.sleep(SLOW_S)


def slow_head(answer: CdnHandler, _wanted: Wanted) -> None:
    for byte in b"HTTP/1.1 206 Partial Content\r\nX-Padding: " + b"x" * 100_000:
        answer.raw(bytes([byte]))
        time.sleep(SLOW_S)


def silent(answer: CdnHandler, wanted: Wanted) -> None:
    """Half of what was asked for, then nothing on an open connection."""
    answer.head(206, wanted.head())
    answer.body(wanted.read(wanted.start, wanted.start + (wanted.stop - wanted.start) // 2), wanted.start)
    while not answer.server_is_ending():
        time.sleep(0.02)


def cut(answer: CdnHandler, wanted: Wanted) -> None:
    """Half of what was asked for, or 32 KiB, then the end of the connection."""
    answer.head(206, wanted.head())
    size = max((wanted.stop - wanted.start) // 2, 32 * 1024)
    answer.body(wanted.read(wanted.start, min(wanted.stop, wanted.start + size)), wanted.start)
    answer.hang_up()


def nothing(answer: CdnHandler, _wanted: Wanted) -> None:
    answer.hang_up()


def busy(answer: CdnHandler, _wanted: Wanted) -> None:
    answer.head(503, {"Content-Length": "0", "Retry-After": "0"})


def wrong_range(answer: CdnHandler, wanted: Wanted) -> None:
    answer.head(206, {**wanted.head(), "Content-Range": f"bytes 7-{wanted.stop - 1}/{wanted.size}"})
    answer.send_span(wanted)


def no_content_range(answer: CdnHandler, wanted: Wanted) -> None:
    head = wanted.head()
    del head["Content-Range"]
    answer.head(206, head)
    answer.send_span(wanted)


def circle(answer: CdnHandler, _wanted: Wanted) -> None:
    answer.head(302, {"Location": answer.path, "Content-Length": "0"})


def garbage(answer: CdnHandler, _wanted: Wanted) -> None:
    with contextlib.suppress(OSError):
        answer.raw(b"SSH-2.0-OpenSSH_9.2\r\n")
    answer.hang_up()


FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        wrong_hash, too_short, too_long, ranges_ignored, changed_etag, html, not_gguf, gzip, traversal_name, endless,
        endless_continue, endless_trailer, endless_trailer_early, endless_until_closed, slow_loris, slow_head, silent,
        cut, nothing, busy, wrong_range, no_content_range, circle, garbage,
    )
}  # fmt: skip


def portal(hub: HubHandler) -> None:
    """A captive portal answers in the hub's place."""
    hub.answer(200, PAGE, {"Content-Type": "text/html"})


def portal_redirect(hub: HubHandler) -> None:
    hub.answer(302, b"", {"Location": "https://portal.example/login"})


def unencrypted(hub: HubHandler) -> None:
    """On to a host that the list allows, but without encryption."""
    hub.answer(302, b"", {**hub.linked(), "Location": "http://cdn-lfs.hf.co/file"})


def foreign(hub: HubHandler) -> None:
    hub.answer(302, b"", {**hub.linked(), "Location": FOREIGN})


def other_scheme(hub: HubHandler) -> None:
    hub.answer(302, b"", {**hub.linked(), "Location": "file:///etc/passwd"})


def too_many(hub: HubHandler) -> None:
    hub.answer(429, b"", {"Retry-After": "17"})


def failing(hub: HubHandler) -> None:
    hub.answer(500, b"")


def unreadable(hub: HubHandler) -> None:
    hub.answer(200, b'{"siblings": 5}', {"Content-Type": "application/json"})


def no_hash(hub: HubHandler) -> None:
    """As a mirror that does not pass on what the hub vouches for."""
    linked = hub.linked()
    hub.answer(302, b"", {"Location": linked["Location"], "X-Linked-Size": linked["X-Linked-Size"]})


def mirror(hub: HubHandler) -> None:
    """Sends on without a word of the file; the redirect has a body and an ETag of its own."""
    body = b"Found. Redirecting to the file."
    hub.answer(302, body, {"Location": hub.linked()["Location"], "ETag": f'"{"0" * 64}"'})


def swapped(hub: HubHandler) -> None:
    """Another file lies under this name now."""
    hub.answer(302, b"", {**hub.linked(), "X-Linked-Etag": f'"{"0" * 64}"'})


HUB_FAULTS: Mapping[str, Callable[[HubHandler], None]] = {
    each.__name__: each
    for each in (
        portal,
        portal_redirect,
        unencrypted,
        foreign,
        other_scheme,
        too_many,
        failing,
        unreadable,
        no_hash,
        mirror,
    )
} | {"swapped": swapped}
