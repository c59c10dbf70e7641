"""Understands how people name models: a quant of the catalogue, a file or repo of the hub. Must not look anything up.

`llama-3.1-8b:Q4_K_M` in any case; `hf:OWNER/REPO/FILE.gguf`; for a repo also its address as copied from a browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from backends.models.download_names import check_path, check_repo, check_revision, shown
from backends.models.errors import BadReference

HUB = "hf:"
HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
NOT_MODELS = frozenset({"datasets", "spaces", "api", "docs", "blog", "collections", "papers", "models", "settings"})
VIEWS = ("tree", "blob", "resolve", "raw")
MAX_REFERENCE_CHARS = 1000


@dataclass(frozen=True, slots=True)
class CatalogueRef:
    """A quant of a catalogue model by name; whether there is one is for the catalogue to say."""

    model_id: str
    quant: str

    def __str__(self) -> str:
        return f"{self.model_id}:{self.quant}"


@dataclass(frozen=True, slots=True)
class HubRef:
    """A repo of the hub, or a file in it; the names are checked. `revision` None is the newest."""

    repo: str
    path: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return f"{HUB}{self.repo}" if self.path is None else f"{HUB}{self.repo}/{self.path}"


def parse_ref(text: str) -> CatalogueRef | HubRef:
    """One quant or file, as commands and targets name it; a HubRef then has a path. Raises BadReference."""
    wanted = _checked(text)
    if wanted[: len(HUB)].lower() == HUB or _address(wanted) is not None:
        hub = parse_repo(wanted)
        if hub.path is None:
            raise BadReference(f"“{shown(wanted)}” names a repo, but no file in it.")
        return hub
    model_id, _, quant = wanted.partition(":")
    if not model_id or ":" in quant or "/" in wanted:
        raise BadReference(f"“{shown(wanted)}” is not the name of a model.")
    if not quant:
        fix = f"Add one, such as {shown(model_id.lower())}:Q4_K_M."
        raise BadReference(f"“{shown(wanted)}” does not say which quant.", fix=fix)
    return CatalogueRef(model_id.lower(), quant.upper())


def parse_repo(text: str) -> HubRef:
    """A repo that a person adds: OWNER/REPO, hf:OWNER/REPO, either with a file, or the address of its page.

    Raises BadReference.
    """
    wanted = _checked(text)
    address = _address(wanted)
    if address is not None:
        return _from_address(wanted, address)
    if wanted[: len(HUB)].lower() == HUB:
        wanted = wanted[len(HUB) :]
    owner, _, rest = wanted.rstrip("/").partition("/")
    name, slash, path = rest.partition("/")
    return HubRef(check_repo(f"{owner}/{name}"), check_path(path) if slash else None)


def _checked(text: str) -> str:
    wanted = text.strip()
    if not wanted or len(wanted) > MAX_REFERENCE_CHARS or not wanted.isprintable():
        raise BadReference("That is not the name of a model.")
    if "\\" in wanted:
        raise BadReference(f"“{shown(wanted)}” has a backslash, which no name on the hub has.")
    return wanted


def _address(text: str) -> str | None:
    """The path of an address of the hub, None where the text is no address; raises BadReference for other hosts."""
    lowered = text.lower()
    if lowered.startswith(tuple(f"{host}/" for host in HUB_HOSTS)):
        text = f"https://{text}"
    elif "://" not in lowered:
        return None
    try:
        parts = urlsplit(text)
        plain = parts.scheme in ("https", "http") and parts.netloc.lower() in HUB_HOSTS
    except ValueError:
        plain = False
    if not plain:
        raise BadReference(
            f"“{shown(text)}” is not an address of huggingface.co, and models come from nowhere else.",
            fix="Give OWNER/REPO, or the address of a model's page on huggingface.co.",
        )
    return parts.path


def _from_address(text: str, address: str) -> HubRef:
    steps = [unquote(step) for step in address.split("/") if step]
    if len(steps) < 2 or steps[0].lower() in NOT_MODELS:
        raise BadReference(f"“{shown(text)}” is not the page of a model.")
    repo = check_repo("/".join(steps[:2]))
    if len(steps) == 2:
        return HubRef(repo)
    if len(steps) == 3 or steps[2] not in VIEWS:
        raise BadReference(f"“{shown(text)}” is not the page of a model or of its files.")
    revision = None if steps[3] == "main" else check_revision(steps[3])
    path = "/".join(steps[4:])
    is_file = steps[2] != "tree" and path
    return HubRef(repo, check_path(path) if is_file else None, revision)
