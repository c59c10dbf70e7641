"""Where the hub is, which hosts it may send a download on to, and who gets the token. Must not open connections."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urljoin, urlsplit

from backends.egress_policy import address_of, host_matches, on_this_machine
from backends.errors import BadAddress
from backends.keys import Secret
from backends.models.errors import ServerMisbehaved

DEFAULT_URL = "https://huggingface.co"
URL_VARIABLE = "NEARFAR_HUB_URL"
EXAMPLE = f"Give one such as {DEFAULT_URL}."
# The hub itself and the hosts that it keeps files on.
HUB_HOSTS = ("huggingface.co", "*.huggingface.co", "*.hf.co")
MAX_REDIRECTS = 5
MAX_URL = 8192
CONTENT_RANGE = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16}|\*)")
SIGN_IN = "If this network has a sign-in page, sign in with a browser, then try again."


class HubAddress:
    """The hub's address with its rules. Raises BadAddress for one that is none."""

    def __init__(self, url: str, token: Callable[[], Secret | None] | None = None) -> None:
        parts = urlsplit(url)
        if "@" in parts.netloc:  # first: what holds a password is not quoted
            raise BadAddress("The address of a hub holds no name and no password.", fix=EXAMPLE)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise BadAddress(f"“{url[:200]}” is not the address of a hub.", fix=EXAMPLE)
        if parts.scheme == "http" and not on_this_machine(parts.hostname):
            raise BadAddress(f"{parts.hostname} would be asked without encryption.", fix="Give an https:// address.")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self._token = token

    @property
    def leaves_machine(self) -> bool:
        return not on_this_machine(self.host)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Patterns (see `egress.host_matches`) of the hosts to allow for a download."""
        return tuple(dict.fromkeys((self.host, *HUB_HOSTS)))

    def api(self, repo: str, revision: str | None) -> str:
        tail = f"/revision/{quote(revision, safe='')}" if revision else ""
        return f"{self.url}/api/models/{quote(repo)}{tail}"

    def file(self, repo: str, revision: str, path: str) -> str:
        return f"{self.url}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(path)}"

    def headers(self, url: str) -> Mapping[str, str]:
        """What to send besides: the token, to the hub's own origin alone."""
        token = self._token() if self._token is not None and self.is_hub(url) else None
        return {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}

    @property
    def has_token(self) -> bool:
        return self._token is not None and self._token() is not None

    def is_hub(self, url: str) -> bool:
        """Whether `url` has the hub's own scheme, host and port."""
        return urlsplit(url).scheme == urlsplit(self.url).scheme and address_of(url) == address_of(self.url)

    def follow(self, url: str, location: str) -> str:
        """Where a redirect from `url` leads; raises ServerMisbehaved for a place that nobody agreed to."""
        host = urlsplit(url).hostname or ""
        try:
            target = urljoin(url, location)
            parts = urlsplit(target)
            where, _port = parts.hostname or "", parts.port
        except ValueError:
            raise ServerMisbehaved(f"{host} redirected to an address that is none.") from None
        if not location or len(target) > MAX_URL or not target.isascii() or not target.isprintable() or " " in target:
            raise ServerMisbehaved(f"{host} redirected to an address that is none.")
        shown = where[:100] or parts.scheme[:20]
        if parts.scheme not in ("http", "https") or parts.username or parts.password:
            raise ServerMisbehaved(f"{host} redirected to an address that no download uses ({parts.scheme[:20]}).")
        if parts.scheme == "http" and (urlsplit(url).scheme == "https" or not on_this_machine(where)):
            raise ServerMisbehaved(
                f"{host} wanted to send the download on to {shown} without encryption. Nearfar refused.", fix=SIGN_IN
            )
        near = on_this_machine(where) and not self.leaves_machine
        if not near and not any(host_matches(where, pattern) for pattern in self.hosts):
            raise ServerMisbehaved(
                f"{host} wanted to send the download on to {shown}, which is not one of the hub's own hosts. "
                "Nearfar refused.",
                fix=SIGN_IN,
            )
        return target


def hub_url(environ: Mapping[str, str] = os.environ) -> str:
    """The hub's address, or the one that NEARFAR_HUB_URL names instead."""
    return environ.get(URL_VARIABLE, "").strip() or DEFAULT_URL
