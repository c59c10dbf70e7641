"""Which hosts may be contacted, and which of them are this machine. Pure: must not open, look up or write anything."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit


def plain_host(host: str) -> str:
    """A host as it is compared and asked for: small letters, no dot at the end, names of all scripts as xn-- (IDNA)."""
    name = host.strip("[]").rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:  # no name at all: it is refused, or not found, as it is
        return name


@lru_cache(maxsize=256)  # asked for every model of a list
def on_this_machine(host: str) -> bool:
    """True for a loopback address or a name reserved for one (RFC 6761: localhost and names under it)."""
    name = plain_host(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def host_matches(host: str, pattern: str) -> bool:
    """Whether `host` is `pattern`, or, where that begins with "*.", a name below it (*.hf.co: cdn.hf.co, not hf.co)."""
    name, wanted = plain_host(host), pattern.lower()
    return name.endswith(wanted[1:]) if wanted.startswith("*.") else name == wanted


@dataclass(frozen=True, slots=True)
class Policy:
    """What the person allows. Loopback is always allowed; `local_only` refuses everything else.

    `allowed_for` are pairs of a purpose and a host pattern (see `host_matches`) that hold for that purpose alone.
    """

    local_only: bool = True
    allowed_hosts: frozenset[str] = frozenset()
    allowed_for: frozenset[tuple[str, str]] = frozenset()

    def allows(self, host: str, purpose: str = "") -> bool:
        if on_this_machine(host):
            return True
        if self.local_only:
            return False
        return plain_host(host) in self.allowed_hosts or any(
            purpose == named and host_matches(host, pattern) for named, pattern in self.allowed_for
        )


def literal_of(host: str) -> tuple[str, ...]:
    """Where a name of this machine leads: never looked up, since a resolver could point it elsewhere (RFC 6761)."""
    name = plain_host(host)
    return ("127.0.0.1", "::1") if name == "localhost" or name.endswith(".localhost") else (name,)


def address_of(url: str) -> tuple[str, int]:
    """Host and port that a URL leads to."""
    parts = urlsplit(url)
    return plain_host(parts.hostname or ""), parts.port or (80 if parts.scheme == "http" else 443)
