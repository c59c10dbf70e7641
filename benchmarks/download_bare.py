"""The least that a verified download can be: receive, write, and hash in a second thread. Must not know Nearfar.

No ranges, no books for a restart, no sync, no checks: download.py measures beside it what those cost.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

CHUNK = 256 * 1024
BUFFERS = 8
MIB = 2**20


def take_memory(folder: Path, size_bytes: int) -> None:
    """Have this machine own the memory that a file of this size will be kept in."""
    path, piece = folder / "memory", os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(-(-size_bytes // MIB)):
            file.write(piece)
    path.unlink()


def fetch(url: str, path: Path, size_bytes: int) -> str:
    """The sha256 of what came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("GET", f"{parts.path}?{parts.query}")
    response = connection.getresponse()
    free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
    filled: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
    for _ in range(BUFFERS):
        free.put(bytearray(CHUNK))
    sha256 = hashlib.sha256()

    def digest() -> None:
        while (data := filled.get()) is not None:
            sha256.update(data)
            assert isinstance(data.obj, bytearray)
            free.put(data.obj)

    hasher = threading.Thread(target=digest)
    hasher.start()
    with path.open("wb", buffering=0) as file:
        while file.tell() < size_bytes:
            buffer = free.get()
            data = memoryview(buffer)[: response.readinto(buffer)]
            if not data:
                break
            file.write(data)
            filled.put(data)
    filled.put(None)
    hasher.join()
    connection.close()
    return sha256.hexdigest()


def main() -> int:
    path, size_bytes, url = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    take_memory(path.parent, size_bytes)
    began = time.perf_counter()
    found = fetch(url, path, size_bytes)
    seconds = time.perf_counter() - began
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != found or path.stat().st_size != size_bytes:
            raise SystemExit("the loop is wrong")
    path.unlink()
    print(seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
