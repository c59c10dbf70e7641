"""Reads the name of a Hugging Face repo from what a person typed or pasted. Pure: must not know Qt nor the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from widgets.assistant_values import HUB_HOST

MAX_CHARS = 2000
HUB_HOSTS = (HUB_HOST, f"www.{HUB_HOST}", "hf.co")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FILE_PAGES = ("blob", "resolve", "raw")


@dataclass(frozen=True, slots=True)
class RepoName:
    """`repo` is OWNER/REPO; `file` is the file that the address led to, or empty."""

    repo: str
    file: str = ""


class NotARepo(ValueError):
    """With a sentence for the person."""


def read_repo(typed: str) -> RepoName:
    """OWNER/REPO, or an address of the hub that leads to a repo or one of its files; raises NotARepo."""
    text = typed.strip()
    if len(text) > MAX_CHARS:
        raise NotARepo("That is too long for the name of a repo.")
    if text.lower().startswith("hf:"):
        text = text[3:]
    if "://" in text or text.lower().startswith(tuple(f"{host}/" for host in HUB_HOSTS)):
        text = _path_of(text)
    owner, _, rest = text.strip("/").partition("/")
    name, _, page = rest.partition("/")
    if not _is_part(owner) or not _is_part(name):
        raise NotARepo("A repo is written OWNER/REPO, as in bartowski/Llama-3.2-3B-Instruct-GGUF.")
    return RepoName(f"{owner}/{name}", _file_of(page))


def _path_of(address: str) -> str:
    try:
        url = urlsplit(address if "://" in address else f"https://{address}")
        host = (url.hostname or "").lower()
    except ValueError:
        raise NotARepo("That address cannot be read.") from None
    if host not in HUB_HOSTS:
        raise NotARepo(f"That is an address on {host or 'no host'}; only repos of {HUB_HOST} can be added.")
    path = unquote(url.path).strip("/")
    if path.split("/")[0] in ("datasets", "spaces"):
        raise NotARepo("That is not a repo of models. Look for one with GGUF files.")
    return path


def _is_part(name: str) -> bool:
    return _PART.fullmatch(name) is not None and ".." not in name


def _file_of(page: str) -> str:
    """`blob/main/model.gguf` leads to model.gguf; a file named directly is taken as it is."""
    kind, _, rest = page.partition("/")
    if kind in _FILE_PAGES:
        return rest.partition("/")[2]
    return page if page.lower().endswith(".gguf") else ""
