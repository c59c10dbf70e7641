"""Every way a server can fail, as one of our errors with its own sentence. Must not show a key, nor retry anything.

Imports the SDK, so import it late.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2
import openai

from backends.cloud.offers import instead_of
from backends.cloud.providers import CloudModel, Endpoint
from backends.egress_policy import on_this_machine
from backends.errors import (
    CloudError,
    CloudModelUnknown,
    ConnectionLost,
    KeyMissing,
    KeyNotAllowed,
    KeyRefused,
    NearfarError,
    NotAnApi,
    QuotaUsedUp,
    RedirectRefused,
    RequestRefused,
    ServerFailed,
    Stalled,
    TooManyRequests,
    Unreachable,
    UnreadableReply,
)
from backends.keys import KEY_SHAPE, Secret

QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
GONE_CODES = frozenset({"model_not_found", "model_decommissioned", "model_deprecated", "model_not_available"})
NO_MODEL = re.compile(r"not a valid model|no endpoints found for|model\b.*\b(not found|not exist|decommissioned)", re.I)
REGION_CODE = "unsupported_country_region_territory"
TOO_LONG = re.compile(r"context|too long|too many tokens", re.IGNORECASE)
MAX_QUOTE = 200
CHAIN_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Call:
    """What a sentence may need to name: the server, the model, what else is offered, and the key it must never show."""

    endpoint: Endpoint
    model: str
    key: Secret | None
    read_s: float
    text_began: Callable[[], bool]
    offered: Callable[[], Sequence[CloudModel]] = tuple
    retires: Callable[[str], date | None] = lambda _model: None

    def quote(self, text: object) -> str:
        """A server's own words: short, on one line, without anything that looks like a key."""
        plain = " ".join(str(text).split()) if text else ""
        if self.key is not None:
            plain = plain.replace(self.key.reveal(), "…")
        plain = KEY_SHAPE.sub("…", "".join(char for char in plain if char.isprintable()))
        return plain if len(plain) <= MAX_QUOTE else f"{plain[:MAX_QUOTE]}…"

    @property
    def name(self) -> str:
        return self.endpoint.label

    @property
    def host(self) -> str:
        return self.endpoint.host


def as_nearfar_error(error: BaseException, call: Call) -> NearfarError:
    """The error to show for whatever the SDK, the HTTP client or the reader raised."""
    for link in _chain(error):
        if isinstance(link, NearfarError):
            return link
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, call)
    for link in _chain(error):
        if isinstance(link, httpx2.TimeoutException):
            return _of_timeout(link, call)
        if isinstance(link, httpx2.ConnectError):
            return _of_connect(link, call)
        if isinstance(link, httpx2.TransportError):
            return _of_broken_connection(link, call)
    if isinstance(error, openai.APIError):
        return _of_stream_error(error, call)
    # Malformed streams surface as JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError or a pydantic error.
    return UnreadableReply(f"{call.name} sent a reply that cannot be read ({type(error).__name__}).")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies behind it, nearest first; the members of a group count as behind it."""
    waiting = [error]
    seen = 0
    while waiting and seen < CHAIN_LENGTH:
        link = waiting.pop(0)
        seen += 1
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions)
        behind = link.__cause__ or link.__context__
        if behind is not None:
            waiting.append(behind)


def _of_status(error: openai.APIStatusError, call: Call) -> NearfarError:
    status = error.status_code
    if 300 <= status < 400:
        return _of_redirect(error, call)
    is_page = "html" in error.response.headers.get("content-type", "")
    if is_page and status < 500:
        return NotAnApi(f"A web page answered at {call.host} (HTTP {status}), not an API.")
    known = {400: _of_bad_request, 401: _of_refused_key, 402: _of_quota, 403: _of_forbidden, 404: _of_not_found}
    known[410] = _of_not_found
    if status in known:
        return known[status](error, call)
    if status == 429:
        return _of_quota(error, call) if is_quota(error) else _of_rate(error, call)
    if status == 405:
        return NotAnApi(f"There is no chat API at this address of {call.host} (HTTP 405).")
    if status == 407:
        return RequestRefused(f"A proxy before {call.host} asks for a password (HTTP 407).")
    if status == 413:
        return RequestRefused(f"The prompt is too long for {call.name} (HTTP 413).", fix="Shorten the prompt.")
    if status >= 500 or status == 408:
        return ServerFailed(f"{call.name} failed on its side (HTTP {status}).")
    return RequestRefused(f"{call.name} refused the request (HTTP {status}){_quoted(error, call)}.")


def _of_redirect(error: openai.APIStatusError, call: Call) -> NearfarError:
    location = error.response.headers.get("location", "")
    host = call.quote(urlsplit(location).hostname or call.host)[:100]
    return RedirectRefused(f"{call.host} wanted to send your prompt on to {host}. Nearfar refused.")


def _of_bad_request(error: openai.APIStatusError, call: Call) -> NearfarError:
    if error.code == "context_length_exceeded" or error.type == "exceed_context_size_error":
        return RequestRefused(
            f"The prompt is too long for {call.model}{_quoted(error, call)}.",
            fix="Shorten the prompt, or choose a model with a longer context.",
        )
    if error.code in GONE_CODES or NO_MODEL.search(error.message):
        return _of_missing_model(call)
    return RequestRefused(f"{call.name} refused the request{_quoted(error, call)}.")


def _of_refused_key(_error: openai.APIStatusError, call: Call) -> NearfarError:
    # The server's own words are left out: they often repeat the key.
    if call.key is None:
        return KeyMissing(f"{call.name} asks for an API key.", safe="Your prompt is kept.")
    return KeyRefused(f"{call.name} did not accept the API key.")


def _of_quota(_error: openai.APIStatusError, call: Call) -> NearfarError:
    return QuotaUsedUp(f"The credit or spending limit of your {call.name} account is used up.")


def _of_forbidden(error: openai.APIStatusError, call: Call) -> NearfarError:
    if error.code == REGION_CODE:
        return RequestRefused(f"{call.name} does not serve your country or region.", fix="Choose another provider.")
    if error.code in GONE_CODES:
        return _of_missing_model(call)
    if TOO_LONG.search(error.message):
        return RequestRefused(f"{call.name} refused the request{_quoted(error, call)}.")
    if call.key is None:
        return KeyMissing(f"{call.name} asks for an API key.", safe="Your prompt is kept.")
    return KeyNotAllowed(f"{call.name} does not let this key use {call.model}{_quoted(error, call)}.")


def _of_not_found(error: openai.APIStatusError, call: Call) -> NearfarError:
    said = error.message.lower()
    of_others = "no endpoints" in said and call.model.lower() not in said
    if call.endpoint.price_ceiling and ("price" in said or of_others):
        return RequestRefused(
            f"Nobody behind {call.name} answers for {call.model} at the price that is known, or less"
            f"{_quoted(error, call)}.",
            fix="Update the prices in Settings, or give this model a price of your own.",
        )
    if error.code in GONE_CODES or "model" in said or NO_MODEL.search(said):
        return _of_missing_model(call)
    return NotAnApi(
        f"There is no chat API at this address of {call.host} (HTTP 404).",
        fix="Check the address of this server; many end in /v1.",
    )


def _of_missing_model(call: Call) -> NearfarError:
    """Says what to choose instead, by what the provider offers today: data decides, not this code."""
    day = call.retires(call.model)
    retired = day is not None and day <= date.today()  # noqa: DTZ011  a calendar day
    other = instead_of(call.endpoint, call.model, call.offered())
    fix = None if other is None else f"Choose {call.quote(other)}, which {call.name} offers, or another model."
    if retired:
        return CloudModelUnknown(f"{call.name} has retired {call.model} on {day:%Y-%m-%d}.", fix=fix)
    return CloudModelUnknown(f"{call.name} has no model {call.model}, or your key may not use it.", fix=fix)


def _of_rate(error: openai.APIStatusError, call: Call) -> NearfarError:
    wait_s = retry_after_s(error)
    if wait_s is not None and wait_s > 0:
        return TooManyRequests(
            f"{call.name} asks you to wait: too many requests.", fix=f"Press Retry in {_span(wait_s)}."
        )
    return TooManyRequests(f"{call.name} asks you to wait: too many requests.")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def is_quota(error: openai.APIStatusError) -> bool:
    """A 429 that waiting does not cure."""
    return error.code in QUOTA_CODES or error.type in QUOTA_CODES


def retry_after_s(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks to wait: `Retry-After-Ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
    headers = error.response.headers
    for text, unit_s in ((headers.get("retry-after-ms"), 0.001), (headers.get("retry-after"), 1.0)):
        seconds = _number(text)
        if seconds is not None:
            return seconds * unit_s
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo is not None else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def _of_timeout(error: httpx2.TimeoutException, call: Call) -> NearfarError:
    if isinstance(error, httpx2.ConnectTimeout):
        return Unreachable(f"{call.host} did not answer in time. It may be down, or a firewall is in the way.")
    if call.text_began():
        return Stalled(f"{call.name} stopped sending: nothing came for {call.read_s:.0f} seconds.")
    return Stalled(
        f"{call.name} took the request, but sent nothing for {call.read_s:.0f} seconds.", safe="Your prompt is kept."
    )


def _of_connect(error: BaseException, call: Call) -> NearfarError:
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            return _of_certificate(link, call)
        if isinstance(link, ssl.SSLError):
            return Unreachable(
                f"{call.host} does not speak a secure connection that this machine accepts.",
                fix="Check the address: a server without encryption needs http:// instead of https://.",
            )
        if isinstance(link, socket.gaierror):
            return Unreachable(f"The name {call.host} could not be found. The network may be down.")
        if isinstance(link, ConnectionRefusedError):
            port = urlsplit(call.endpoint.base_url).port
            place = call.host if port is None else f"{call.host}, port {port}"
            return Unreachable(f"Nothing answers at {place}: the connection was refused.", fix="Is the server up?")
        if isinstance(link, OSError) and link.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
            return _of_no_way(call)
    return Unreachable(f"{call.host} cannot be reached.")


def _of_no_way(call: Call) -> NearfarError:
    if not on_this_machine(call.host):
        return Unreachable(f"There is no way to {call.host}: this machine seems to be offline.")
    return Unreachable(
        f"This machine's own loopback network is down, so nothing at {call.host} can be reached.",
        fix="Local models work all the same; to use this one, bring the loopback network up (ip link set lo up).",
    )


def _of_certificate(error: ssl.SSLCertVerificationError, call: Call) -> NearfarError:
    reason = call.quote(error.verify_message) or "it cannot be checked"
    if "not yet valid" in reason or "expired" in reason:
        return Unreachable(
            f"The certificate of {call.host} is not valid today: {reason}.", fix="Check the date of this computer."
        )
    return Unreachable(
        f"The certificate of {call.host} is not trusted by this machine: {reason}.",
        fix="A proxy or a sign-in page may be in the way; check the network, then press Retry.",
    )


def _of_broken_connection(error: httpx2.TransportError, call: Call) -> NearfarError:
    if isinstance(error, httpx2.RemoteProtocolError) and "illegal" in str(error):
        return NotAnApi(f"What answers at {call.host} does not speak HTTP.")
    if call.text_began():
        return ConnectionLost(f"The connection to {call.name} was lost in mid-answer.")
    return ConnectionLost(f"{call.name} closed the connection before it answered.", safe="Your prompt is kept.")


def _of_stream_error(error: openai.APIError, call: Call) -> NearfarError:
    """An error event in the stream itself; the status was 200."""
    if error.code in QUOTA_CODES or error.type in QUOTA_CODES:
        return QuotaUsedUp(f"The credit or spending limit of your {call.name} account is used up.")
    return ServerFailed(f"{call.name} broke off{_quoted(error, call)}.")


def _quoted(error: openai.APIError, call: Call) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    quote = call.quote(message if isinstance(message, str) else "").rstrip(".")
    return f": “{quote}”" if quote else ""


def server_error(call: Call, message: object) -> CloudError:
    """An error that a server reports in a field of its own rather than as an error event."""
    quote = call.quote(message).rstrip(".")
    return ServerFailed(f"{call.name} broke off: “{quote}”." if quote else f"{call.name} broke off.")
