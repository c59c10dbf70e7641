"""What single settings may hold, where a type alone does not say it. Must not know the settings nor their file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from backends.cloud.providers import SERVER_NAME
from backends.errors import UnknownTarget
from backends.paths import whole_path
from backends.targets import parse_target

REPO_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")

UNREADABLE_PROXY = "unreadable"  # no address: `egress_route.Route` refuses every way to another machine


def _known_target(name: str) -> str:
    try:
        return str(parse_target(name))
    except UnknownTarget as error:
        raise ValueError(error.problem.what) from error


def plain_address(url: str) -> str:
    """The same address; raises ValueError with a sentence."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address starts with http:// or https:// and a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address holds no password, query or fragment")
    return url


def proxy_address(url: str) -> str:
    """As `plain_address`; the word that stands for a proxy that could not be read is kept, and can never be used."""
    if url == UNREADABLE_PROXY:
        return url
    if urlsplit(url).port == 0:
        raise ValueError("a port is a number from 1 to 65535")
    return plain_address(url)


def _server_name(name: str) -> str:
    if not SERVER_NAME.fullmatch(name):
        raise ValueError("a server name has 1 to 40 small letters, digits, dots, dashes or underscores")
    return name


def read_only(servers: Mapping[str, str]) -> Mapping[str, str]:
    """A copy that nobody changes."""
    return MappingProxyType(dict(servers))


def _repo_name(name: str) -> str:
    if not REPO_NAME.fullmatch(name) or ".." in name:
        raise ValueError("a repo is named OWNER/REPO")
    return name


def folder_path(path: str) -> str:
    """The same path; raises ValueError where it names no place."""
    whole_path(path)
    return path


# Strict: true is no dollar, and "5" no number.
Budget = Annotated[float, Field(strict=True, ge=0, le=1_000_000, allow_inf_nan=False)]
TargetName = Annotated[str, AfterValidator(_known_target)]
RepoName = Annotated[str, AfterValidator(_repo_name)]
Servers = Mapping[Annotated[str, AfterValidator(_server_name)], Annotated[str, AfterValidator(plain_address)]]
