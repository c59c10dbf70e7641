"""Every way the hub and the servers behind it can fail, as one of our errors. Must not show a token nor retry."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from backends.errors import NearfarError
from backends.models.errors import HubUnreachable, NotTheFile, RepoGated, RepoHidden, RepoMissing, ServerMisbehaved

CHAIN_LENGTH = 20
MAX_WAIT_S = 3600.0
_NETWORK_GONE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
_NOTHING = "Nothing was downloaded."


def of_connection(error: BaseException, host: str) -> NearfarError:
    """The error for what went wrong below HTTP: no network, no such name, TLS, a connection that broke."""
    for link in _chain(error):
        if isinstance(link, NearfarError):
            return link
        if isinstance(link, ssl.SSLCertVerificationError):
            return _of_certificate(link, host)
        if isinstance(link, ssl.SSLError):
            return HubUnreachable(f"{host} does not speak a secure connection that this machine accepts.")
        if isinstance(link, socket.gaierror):
            return HubUnreachable(f"The name {host} could not be found. The network may be down.")
        if isinstance(link, TimeoutError):
            return HubUnreachable(f"{host} did not answer in time.")
        if isinstance(link, ConnectionRefusedError):
            return HubUnreachable(f"Nothing answers at {host}: the connection was refused.")
        if isinstance(link, OSError) and link.errno in _NETWORK_GONE:
            return HubUnreachable(f"There is no way to {host}: this machine seems to be offline.")
    return HubUnreachable(f"The connection to {host} was lost.")


def _of_certificate(error: ssl.SSLCertVerificationError, host: str) -> NearfarError:
    reason = "".join(char for char in str(error.verify_message or "") if char.isprintable())[:120]
    if "not yet valid" in reason or "expired" in reason:
        return HubUnreachable(
            f"The certificate of {host} is not valid today: {reason}.", fix="Check the date of this computer."
        )
    return HubUnreachable(
        f"The certificate of {host} is not trusted by this machine: {reason or 'it cannot be checked'}.",
        fix="A proxy or a sign-in page may be in the way; check the network, then try again.",
    )


def of_status(status: int, headers: Mapping[str, str], url: str, what: str, *, has_token: bool) -> NearfarError:
    """The error for an answer of the hub itself that is not a success. `what` names the repo and file asked for.

    The hub answers 401 for what is missing, private or gated alike, unless X-Error-Code says which.
    """
    host = urlsplit(url).hostname or "the hub"
    code = headers.get("x-error-code", "")
    if code == "GatedRepo":
        return _gated(what, has_token=has_token)
    if code == "RevisionNotFound":
        return RepoMissing(f"{what} has no such revision any more.", fix="Add its repo by hand to see what it has now.")
    if code == "EntryNotFound":
        return RepoMissing(f"There is no file {what} on {host}.", fix="List the repo again; its files have changed.")
    if code == "DisabledRepo":
        return RepoMissing(f"{what} was disabled by {host}.", fix="Choose another repo.")
    if status == 429:
        return HubUnreachable(f"{host} asks you to wait: too many requests.", fix=_wait_fix(headers))
    if status >= 500 or status == 408:
        return HubUnreachable(f"{host} failed on its side (HTTP {status}).", fix="Try again in a few minutes.")
    if status == 407:
        return HubUnreachable(f"A proxy before {host} asks for a password.", fix="Check the network of this machine.")
    if is_page(headers) and not code:
        return of_page(host)
    if status in (401, 403):
        if has_token:
            return RepoGated(
                f"{host} does not let this token read {what}, or there is no such repo.",
                fix="Check the name and the token; for a gated repo, accept its licence on the hub first.",
            )
        return RepoHidden(f"{host} shows {what} to nobody without a token: it may be missing, private or gated.")
    if status in (404, 410):
        return RepoMissing(f"There is no {what} on {host}.")
    return ServerMisbehaved(f"{host} answered in an unexpected way (HTTP {status}).", safe=_NOTHING, fix="Try again.")


def _gated(what: str, *, has_token: bool) -> NearfarError:
    if has_token:
        return RepoGated(
            f"{what} is gated, and the account of this token has not been let in.",
            fix="Accept its licence on the hub with that account, or choose a repo without a gate.",
        )
    return RepoGated(f"{what} is gated: its owner lets in only accounts that accepted the licence.")


def is_page(headers: Mapping[str, str]) -> bool:
    return "html" in headers.get("content-type", "").lower()


def of_page(host: str) -> NearfarError:
    """A captive portal, most often."""
    return NotTheFile(f"The network sent a web page instead of what {host} has.")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait; None where it does not say, or says it as a date."""
    text = headers.get("retry-after", "").strip()
    return min(float(text), MAX_WAIT_S) if re.fullmatch(r"\d{1,9}", text) else None


def _wait_fix(headers: Mapping[str, str]) -> str:
    wait_s = retry_after_s(headers)
    return "Try again in a few minutes." if not wait_s else f"Try again in {wait_s:.0f} seconds."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies behind it, nearest first; the members of a group count as behind it."""
    waiting = [error]
    for _ in range(CHAIN_LENGTH):
        if not waiting:
            return
        link = waiting.pop(0)
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions)
        behind = link.__cause__ or link.__context__
        if behind is not None:
            waiting.append(behind)
