"""One question to one server, from the request to the last chunk. Must not know where keys and prices come from.

Imports the SDK, so import it late.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date

import openai

from backends.cloud import failures, sdk
from backends.cloud.budget import Purse
from backends.cloud.failures import Call
from backends.cloud.patience import Patience
from backends.cloud.providers import CloudModel, Endpoint
from backends.cloud.request import ChatRequest, Refusals
from backends.cloud.stream import Reader
from backends.egress_http import Wire
from backends.egress_policy import on_this_machine
from backends.errors import (
    BudgetReached,
    NetworkCutOff,
    NetworkNotAllowed,
    NotAnApi,
    RouteUnusable,
    Stalled,
    Unreachable,
    UnreadableReply,
)
from backends.keys import Secret
from backends.records import RunRequest, frozen_map
from backends.spending import Ceiling
from backends.tally import Tally

log = logging.getLogger(__name__)

MAX_DROPPED = 5
GATEWAY_GAVE_UP = frozenset({408, 502, 504, 524})
MAX_RETRY_WAIT_S = 60.0
SERVER_RETRY_WAIT_S = 1.0

BOUNDING = frozenset({"service_tier", "provider"})  # what an upper bound rests on besides the limit on the answer


@dataclass(frozen=True, slots=True)
class Setting:
    """What an engine lends to every attempt. `refused` remembers, by model, what its server refused;
    `offered` is what its provider has today, `retires` the last day of a model."""

    client: sdk.Client
    endpoint: Endpoint
    patience: Patience
    refused: MutableMapping[str, Refusals]
    offered: Callable[[], Sequence[CloudModel]]
    retires: Callable[[str], date | None]


class Attempt:
    """Asks once; again without a parameter the server refused; and once more when it asks to wait, before any text."""

    def __init__(
        self,
        setting: Setting,
        tally: Tally,
        request: RunRequest,
        model: str,
        key: Secret | None,
        purse: Purse | None = None,
        ceiling: Ceiling | None = None,
    ) -> None:
        """Where the purse is limited, a budget rests on the upper bound of one request. Rather ask nothing than without
        a limit on the answer, and not again where the first request may have been billed."""
        self._setting = setting
        self._tally = tally
        self._key = key
        self._model = model
        self._purse = purse
        self._pays_once = purse is not None and purse.limited
        self._must_limit = self._pays_once and request.sampling.max_tokens is not None
        refused = setting.refused.get(model, frozenset())
        self._chat = ChatRequest(request, setting.endpoint, model, refused, ceiling)
        self._thinks = self._chat.thinks
        self._patience = setting.patience.for_thinking() if self._thinks else setting.patience
        self._call = Call(
            setting.endpoint,
            model,
            key,
            self._patience.read_s,
            lambda: bool(tally.text),
            setting.offered,
            setting.retires,
        )
        self._thinking = ThinkingNotice(tally, self._patience, model)

    async def answer(self) -> None:
        """Until the answer has ended; raises NearfarError for every failure."""
        try:
            await self._answer()
        except Exception as error:  # noqa: BLE001  a malformed stream raises anything at all
            told = failures.as_nearfar_error(error, self._call)
            never_sent = isinstance(told, Unreachable | NetworkNotAllowed | RouteUnusable)
            if never_sent and not isinstance(told, NetworkCutOff):
                self._tally.may_be_charged = False  # it never reached the server
            raise told from None

    async def _answer(self) -> None:
        self._say_what_differs()
        try:
            if self._thinks:
                self._thinking.begin()
            stream = await self._open()
            try:
                wire = self._check_head(stream)
                await self._read(stream, wire)
            finally:
                await stream.close()
        finally:
            self._thinking.end()

    def _say_what_differs(self) -> None:
        endpoint = self._setting.endpoint
        self._note_settings()
        if not on_this_machine(endpoint.host) and not endpoint.encrypted:
            self._tally.notice(
                "unencrypted", f"The connection to {endpoint.host} is not encrypted: others on the way can read it."
            )
        if not endpoint.takes_sampling(self._model):
            self._tally.notice("own_sampling", f"{self._model} chooses its own temperature; yours was not sent.")
        left_out = self._chat.left_out()
        if left_out:
            named = " and ".join(left_out)
            self._tally.notice("parameter_refused", f"{self._model} refused {named} before: asked without.")

    def _note_settings(self) -> None:
        self._tally.settings |= {"not_sent": self._chat.not_sent(), **self._chat.price_settings()}

    async def _open(self) -> sdk.Chunks:
        has_waited = False
        for _ in range(MAX_DROPPED + 2):
            if self._must_limit and "max_tokens" in self._chat.not_sent():
                raise BudgetReached(
                    f"{self._model} takes no limit on the answer, so nobody can say what it would cost.",
                    fix="Remove the budget in Settings, or choose another model.",
                )
            self._tally.sent()
            self._tally.may_be_charged = True
            try:
                return await sdk.open_stream(self._setting.client, self._chat.body(), self._key, self._patience)
            except openai.APIStatusError as error:
                # A request that was turned down is not billed; of one that a gateway gave up on, nobody knows.
                self._tally.may_be_charged = error.status_code in GATEWAY_GAVE_UP
                dropped = self._drop_what_it_refuses(error)
                if dropped is not None:
                    if dropped in BOUNDING:
                        await self._renew()
                    continue
                is_last = has_waited or (self._pays_once and self._tally.may_be_charged)
                wait_s = None if is_last else _wait_s(error)
                if wait_s is None:
                    raise
                has_waited = True
                await self._wait(wait_s, error.status_code)
                if self._tally.may_be_charged:
                    await self._renew()
        raise UnreadableReply(f"{self._call.name} refuses one parameter after another.")

    async def _renew(self) -> None:
        """The next request may cost more than was set aside for this one, or beside it."""
        may_be_charged, self._tally.may_be_charged = self._tally.may_be_charged, False
        self._tally.earlier_may_be_charged |= may_be_charged
        if self._purse is not None:
            await self._purse.renew(may_be_charged=may_be_charged)

    def _drop_what_it_refuses(self, error: openai.APIStatusError) -> str | None:
        """The parameter that is left out from now on; None where the refusal is about none."""
        if error.status_code not in (400, 422):
            return None
        refusal = self._chat.refusal(error.param, error.code, error.message)
        if refusal is None:
            return None
        self._chat = self._chat.without(refusal)
        self._setting.refused[self._model] = self._chat.refused
        self._note_settings()
        other = self._chat.replacement_for(refusal.name)
        how = f"with {other} instead" if other is not None else "without it"
        self._tally.notice("parameter_refused", f"{self._model} does not take {refusal}: asked again {how}.")
        return refusal.name

    async def _wait(self, wait_s: float, status: int) -> None:
        """Count down where the person sees it; cancelling the task ends the wait."""
        why = "asks to wait" if status == 429 else f"failed on its side (HTTP {status})"
        for left_s in range(math.ceil(wait_s), 0, -1):
            self._tally.notice("waiting", f"{self._call.name} {why}: asking once more in {left_s} s.")
            await asyncio.sleep(min(1.0, wait_s))
        self._tally.notice("waiting", "")

    def _check_head(self, stream: sdk.Chunks) -> Wire:
        """Refuse what is not an event stream, which the SDK would report as an empty answer."""
        response = stream.response
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if "html" in kind:
            raise NotAnApi(f"A web page answered at {self._call.host}, not an API. It may be a sign-in page.")
        if kind not in ("text/event-stream", ""):
            raise UnreadableReply(f"{self._call.name} did not stream its answer (it sent {self._call.quote(kind)}).")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnreadableReply(f"{self._call.name} compressed its answer, although it was asked not to.")
        wire = response.extensions["network_stream"]
        assert isinstance(wire, Wire)
        timings = {"client_connect_ms": wire.connect_ns / 1e6} if wire.requests == 1 else {}
        spent_ms = response.headers.get("openai-processing-ms", "")
        if spent_ms.isascii() and spent_ms.isdecimal():
            timings["openai_processing_ms"] = int(spent_ms)
        self._tally.engine_timings = frozen_map(timings)
        return wire

    async def _read(self, stream: sdk.Chunks, wire: Wire) -> None:
        endpoint = self._setting.endpoint
        reader = Reader(self._tally, wire, charged_by=endpoint.label if endpoint.reports_cost else None)
        try:
            await self._take_all(stream, reader)
        except Exception as error:  # whatever broke the stream; all of it is raised again unless the answer is whole
            if reader.finish_reason is None and isinstance(error, TimeoutError):
                raise Stalled(self._silence()) from None
            if reader.finish_reason is None:
                raise
            # Once a finish_reason came the answer is whole; what breaks after it only costs us the usage.
            log.info("after the end of the answer: %s", type(error).__name__)
        finally:
            reader.close()
        if reader.error is not None:
            raise failures.server_error(self._call, reader.error)
        if reader.chunks == 0:
            raise UnreadableReply(f"{self._call.name} ended its answer before it began.", safe="Your prompt is kept.")
        self._say_if_longer()
        self._tally.finished(reader.finish_reason)

    def _say_if_longer(self) -> None:
        """Some servers take a limit and pass over it."""
        limit, written = self._tally.request.sampling.max_tokens, self._tally.usage.completion_tokens
        if limit is not None and written is not None and written > limit:
            self._tally.notice(
                "limit_ignored", f"{self._call.name} wrote {written} tokens, although at most {limit} were asked for."
            )

    async def _take_all(self, stream: sdk.Chunks, reader: Reader) -> None:
        """Read on while text comes. Comments that keep a connection open reset the socket's timeout, not this one."""
        patience = self._patience
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(patience.silence_s) as silence:
            async for chunk in stream:
                if chunk is not None and reader.take(chunk):
                    self._thinking.end()
                    wait_s = patience.silence_s if reader.finish_reason is None else patience.tail_s
                    silence.reschedule(now() + wait_s)

    def _silence(self) -> str:
        silence_s = self._patience.silence_s
        return f"{self._call.name} kept the connection open, but sent no text for {silence_s:.0f} seconds."


class ThinkingNotice:
    """Says that a model thinks where it has been silent for a while, and takes that back when it writes."""

    def __init__(self, tally: Tally, patience: Patience, model: str) -> None:
        self._tally = tally
        self._patience = patience
        self._model = model
        self._timer: asyncio.TimerHandle | None = None
        self._said = False

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._patience.say_thinking_s, self._say)

    def _say(self) -> None:
        self._said = True
        minutes = math.ceil(self._patience.silence_s / 60)
        limit = "a minute" if minutes == 1 else f"{minutes} minutes"
        self._tally.notice("thinking", f"{self._model} is thinking. Up to {limit} without text are waited for.")

    def end(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._said:
            self._said = False
            self._tally.notice("thinking", "")


def _wait_s(error: openai.APIStatusError) -> float | None:
    """How long to wait before the one more try, or None where it would not help or would take too long."""
    if error.status_code == 429 and not failures.is_quota(error):
        wait_s = failures.retry_after_s(error)
        return wait_s if wait_s is not None and wait_s <= MAX_RETRY_WAIT_S else None
    if error.status_code >= 500:
        wait_s = failures.retry_after_s(error) or SERVER_RETRY_WAIT_S
        return wait_s if wait_s <= MAX_RETRY_WAIT_S else None
    return None
