"""Where a download's files go, from names that are checked first. Must not touch the disk or take a server's word.

The names come from the catalogue, a person, a repo's listing or an old sidecar; none of them may lead out of the models
folder, and none may be one that another system cannot hold.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backends.models.errors import BadReference
from backends.models.records import DownloadPlan

INCOMPLETE = ".incomplete"
MAX_NAME_BYTES = 200
MAX_FILES = 256
MAX_FOLDERS = 4  # the library looks two levels deeper than that
REPO_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
ILLEGAL = frozenset('<>:"/\\|?*')


def check_repo(repo: str) -> str:
    """`repo` if it is OWNER/REPO as the hub names repos; raises BadReference."""
    parts = repo.split("/")
    if len(parts) != 2 or not all(REPO_PART.fullmatch(part) for part in parts) or ".." in repo or "--" in repo:
        raise BadReference(f"“{shown(repo)}” is not the name of a repo.", fix="Repos are named OWNER/REPO.")
    for part in parts:
        check_name(part)
    return repo


def check_revision(revision: str) -> str:
    """`revision` if it can be a commit, branch or tag; raises BadReference."""
    if not REVISION.fullmatch(revision) or ".." in revision or "//" in revision or revision.endswith("/"):
        raise BadReference(f"“{shown(revision)}” is not the name of a revision.", fix="Give a commit, such as main.")
    return revision


def check_path(path: str) -> str:
    """`path` if it names a GGUF file inside a repo; raises BadReference."""
    if not path.lower().endswith(".gguf"):
        raise BadReference(f"“{shown(path)}” is not the name of a .gguf file.")
    parts = path.split("/")
    for part in parts:
        check_name(part)
    if len(parts) > MAX_FOLDERS + 1:
        raise BadReference(f"“{shown(path)}” lies in more than {MAX_FOLDERS} folders, one in the other.")
    return path


def check_name(name: str) -> str:
    """`name` if every system can hold a file of this name; raises BadReference."""
    bad = (
        not name
        or name.startswith((".", " ", "~"))
        or name.endswith((".", " "))
        or any(char in ILLEGAL or unicodedata.category(char).startswith("C") for char in name)
        or RESERVED.fullmatch(name) is not None
        or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES
    )
    if bad:
        raise BadReference(f"“{shown(name)}” cannot be the name of a file.")
    return name


def shown(text: str) -> str:
    """A name for a sentence: short and printable."""
    return "".join(char if char.isprintable() else "?" for char in text)[:80]


def valid_text(text: str) -> str:
    """`text` as UTF-8 can hold it: a byte of a file name that is none becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not is_valid(text) else text


def is_valid(text: str) -> bool:
    """Whether UTF-8 can hold it; the names of files need not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def safe_name(text: str) -> str:
    """A name that people type and terminals print: nothing that is not seen, or that turns the text around."""
    seen = (" " if unicodedata.category(char) == "Zs" else char for char in valid_text(text))
    return "".join(char for char in seen if char.isprintable()).strip() or "model"


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one download. `final[0]` is what llama.cpp opens. Made by `layout_of`."""

    folder: Path
    key: str
    parts: tuple[Path, ...]
    final: tuple[Path, ...]

    @property
    def incomplete(self) -> Path:
        return self.folder / INCOMPLETE

    @property
    def sidecar(self) -> Path:
        return self.incomplete / f"{self.key}.json"

    @property
    def lock(self) -> Path:
        return self.incomplete / f"{self.key}.lock"


def layout_of(folder: Path, plan: DownloadPlan) -> Layout:
    """Where the files of `plan` go below `folder`: in the folder that they have in common in the repo, side by side.

    So two files of one name from two folders of a repo are two files here. Raises BadReference for a plan with a name
    that is none.
    """
    if not 1 <= len(plan.files) <= MAX_FILES:
        raise BadReference(f"{shown(plan.name)} names {len(plan.files)} files to download.")
    home = check_repo(plan.repo).replace("/", "--")
    if plan.revision is not None:
        check_revision(plan.revision)
    paths = [PurePosixPath(check_path(file.path)) for file in plan.files]
    names = [path.name for path in paths]
    if len({name.lower() for name in names}) != len(names):
        raise BadReference(f"{shown(plan.name)} names two files alike.")
    common = posixpath.commonpath([str(path.parent) for path in paths])
    inner = PurePosixPath(common)
    return Layout(
        folder=folder,
        key=_key(home, inner, names[0]),
        parts=tuple(folder / INCOMPLETE / f"{_key(home, inner, name)}.part" for name in names),
        final=tuple(folder / home / inner / name for name in names),
    )


def _key(home: str, inner: PurePosixPath, name: str) -> str:
    """One name for a file below `home`, never that of another: no file's own name ends like that of one in a folder."""
    key = f"{home}--{name}"
    if inner.parts:
        key += f"--{hashlib.sha256(str(inner).encode()).hexdigest()[:12]}"
    if len(key.encode()) <= MAX_NAME_BYTES:
        return key
    return f"{home[:60]}--{hashlib.sha256(key.encode()).hexdigest()[:24]}"
