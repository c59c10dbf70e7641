"""What finds a leak: a search of files for a secret in every spelling, and what strace wrote. Must not know the app."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

INTERNET = re.compile(r"\bAF_INET6?\b")


def spellings(secret: str) -> dict[str, bytes]:
    """The secret as files and streams might hold it. Base64 comes in three, by where in a longer text it begins."""
    raw = secret.encode()
    found = {
        "as it is": raw,
        "in UTF-16": secret.encode("utf-16-le"),
        "its last 8 characters": raw[-8:],
        "URL-encoded": quote(secret, safe="").encode(),
        "in hex": raw.hex().encode(),
        "backwards": raw[::-1],
    }
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        found[f"in base64 from byte {shift}"] = whole[4 if shift else 0 : -4]
    return found


def places(secret: str, *roots: Path) -> dict[str, list[str]]:
    """Every file below the roots that holds it, by path relative to its root, with the spellings found there."""
    wanted = spellings(secret)
    found: dict[str, list[str]] = {}
    for root in roots:
        for path in _files(root):
            data = path.read_bytes()
            hits = [name for name, spelling in wanted.items() if spelling in data]
            if hits:
                found[path.relative_to(root).as_posix()] = hits
    return found


def holds(secret: str, data: bytes) -> list[str]:
    """The spellings of the secret in some bytes."""
    return [name for name, spelling in spellings(secret).items() if spelling in data]


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def internet_calls(trace: Path) -> list[str]:
    """The system calls that strace saw with an internet address or socket."""
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if INTERNET.search(line)]


def written_files(trace: Path) -> list[Path]:
    """The files that strace saw opened for writing, each once."""
    found = re.findall(
        r'open(?:at)?\([^"]*"([^"]+)", [A-Z_|]*(?:O_WRONLY|O_RDWR|O_CREAT)', trace.read_text(errors="replace")
    )
    return [Path(name) for name in dict.fromkeys(found) if name.startswith("/")]
