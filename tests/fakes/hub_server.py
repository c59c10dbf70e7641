"""A stand-in for the Hugging Face hub on loopback: the real endpoints, a second server for the files, and its faults.

    python -m tests.fakes.hub_server --folder FOLDER [--port N] [--fault NAME] [--gated OWNER/REPO] [--token T]

serves FOLDER/OWNER/REPO/FILE and prints its address. Must not know the app's code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.hub_faults import FAULTS, HUB_FAULTS
from tests.fakes.hub_state import Hub, Seen, Sent, Wanted, sha256_of

API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")
RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
SEND_BYTES = 256 * 1024
CERTIFICATES = Path(__file__).parent / "certificates"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_args: object) -> None:
        """Quiet."""

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()


class HubHandler(_Handler):
    """`/api/models/...` and `resolve`."""

    def do_GET(self) -> None:
        self._route()

    def do_HEAD(self) -> None:
        self._route()

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_head(status, {"Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def linked(self) -> dict[str, str]:
        """The heads that a file's `resolve` answers with."""
        match = RESOLVE.fullmatch(unquote(urlsplit(self.path).path))
        file = (self.hub.files(match[1]) or {}).get(match[3]) if match else None
        if match is None or file is None:
            return {}
        return {
            "Location": self.hub.sign(file),
            "X-Repo-Commit": self.hub.commit(match[1]),
            "X-Linked-Size": str(file.stat().st_size),
            "X-Linked-Etag": f'"{self.hub.vouched(file)}"',
            "ETag": '"not-the-sha256"',
        }

    def _route(self) -> None:
        self.hub.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        fault = self.hub.take_fault(HUB_FAULTS)
        if fault is not None:
            fault(self)
            return
        path = unquote(urlsplit(self.path).path)
        if match := API.fullmatch(path):
            self._listing(match[1], match[2])
        elif match := RESOLVE.fullmatch(path):
            self._resolve(match[1], match[2], match[3])
        else:
            self.answer(404, b"")

    def _refused(self, repo: str, revision: str | None, *, metadata: bool) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo in self.hub.renamed:
            self.answer(307, b"", {"Location": self.path.replace(repo, self.hub.renamed[repo])})
        elif self.hub.files(repo) is None:
            status = 404 if token == self.hub.token else 401
            self.answer(status, b"Repository not found", {"X-Error-Code": "RepoNotFound"})
        elif repo in self.hub.hidden and token != self.hub.token:
            self.answer(401, b"Invalid username or password.")
        elif repo in self.hub.gated and not metadata and token != self.hub.token:
            self.answer(403 if token else 401, b"Access is restricted", {"X-Error-Code": "GatedRepo"})
        elif revision not in (None, "main", self.hub.commit(repo)):
            self.answer(404, b"Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
        else:
            return False
        return True

    def _listing(self, repo: str, revision: str | None) -> None:
        if self._refused(repo, revision, metadata=True):
            return
        siblings: list[dict[str, object]] = [{"rfilename": "README.md", "size": 10}]
        for name, path in (self.hub.files(repo) or {}).items():
            size = path.stat().st_size
            lfs = {"sha256": self.hub.vouched(path), "size": size, "pointerSize": 135}
            siblings.append({"rfilename": name, "size": size, "blobId": "0" * 40, "lfs": lfs})
        siblings += [{"rfilename": name, "size": 5} for name in self.hub.extra_names]
        reply = {
            "id": repo,
            "sha": self.hub.commit(repo),
            "gated": "manual" if repo in self.hub.gated else False,
            "tags": ["gguf", "license:llama3.1"],
            "cardData": {"license": "llama3.1"},
            "siblings": siblings,
        }
        self.answer(200, json.dumps(reply).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _resolve(self, repo: str, revision: str, path: str) -> None:
        if self._refused(repo, revision, metadata=False):
            return
        linked = self.linked()
        if linked:
            self.answer(302, b"", linked)
        else:
            self.answer(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"})


class CdnHandler(_Handler):
    """The files themselves, behind signed addresses, with ranges."""

    def do_GET(self) -> None:
        self.hub.cdn_seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        if self.hub.send_buffer is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.hub.send_buffer)
        number = parse_qs(urlsplit(self.path).query).get("Signature", [""])[0]
        file = self.hub.redeem(number)
        if file is None:
            self.head(403, {"Content-Length": "0"})
            return
        size = file.stat().st_size
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, stop = (int(match[1]), min(size, int(match[2] or size) + 1)) if match else (0, size)
        wanted = Wanted(file, size, start, stop, f'"{sha256_of(file)[:32]}"')
        fault = self.hub.take_fault(FAULTS)
        if fault is not None:
            fault(self, wanted)
        elif start >= size:
            self.head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        elif match is None:
            self.head(200, {"Content-Length": str(size), "ETag": wanted.etag})
            self.send_span(wanted)
        else:
            self.head(206, wanted.head())
            self.send_span(wanted)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_head(status, headers)

    def raw(self, data: bytes) -> None:
        self.wfile.write(data)

    def body(self, data: bytes, start: int) -> None:
        sent = Sent(Path(self.path), start, start)
        self.hub.sent.append(sent)
        self.wfile.write(data)
        sent.stop = start + len(data)

    def send_span(self, wanted: Wanted) -> None:
        """The range itself; each byte that the kernel takes is counted."""
        sent = Sent(wanted.file, wanted.start, wanted.start)
        self.hub.sent.append(sent)
        handle = os.open(wanted.file, os.O_RDONLY)
        began = time.monotonic()
        try:
            while sent.stop < wanted.stop and not self.server_is_ending():
                count = min(wanted.stop - sent.stop, SEND_BYTES if self.hub.bytes_s is None else 16 * 1024)
                if hasattr(os, "sendfile") and not isinstance(self.connection, ssl.SSLSocket):
                    sent.stop += os.sendfile(self.connection.fileno(), handle, sent.stop, count)
                else:
                    self.wfile.write(wanted.read(sent.stop, sent.stop + count))
                    sent.stop += count
                if self.hub.bytes_s is not None:
                    ahead_s = (sent.stop - wanted.start) / self.hub.bytes_s - (time.monotonic() - began)
                    time.sleep(max(0.0, ahead_s))
        finally:
            os.close(handle)

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def server_is_ending(self) -> bool:
        return self.hub.ending.is_set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop(self) -> None:
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_args: object) -> None:
        """A client that goes away is no news."""


class HubServer(Hub):
    """Both servers in threads of this process; a context manager."""

    def __init__(
        self, folder: Path, *, port: int = 0, host: str = "127.0.0.1", certificate: str | None = None, **options: Any
    ) -> None:
        super().__init__(folder, **options)
        self._servers = [
            _Server((host, port), type("BoundHub", (HubHandler,), {"hub": self})),
            _Server((host, 0), type("BoundCdn", (CdnHandler,), {"hub": self})),
        ]
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
            for server in self._servers:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url, self.cdn_url = (f"{scheme}://{host}:{server.server_address[1]}" for server in self._servers)

    def drop_connections(self) -> None:
        """As when a cable is pulled and put back: every connection that is open now ends."""
        for server in self._servers:
            server.drop()

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault", choices=sorted({*FAULTS, *HUB_FAULTS}))
    parser.add_argument("--gated", action="append", default=[], metavar="OWNER/REPO")
    parser.add_argument("--token", default="hf_standin")
    parser.add_argument("--rate", type=float, help="bytes per second of each connection")
    given = parser.parse_args()
    options = {"fault": given.fault, "gated": set(given.gated), "token": given.token, "bytes_s": given.rate}
    with HubServer(given.folder, port=given.port, **options) as server:
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
