"""What is sent to a server for one prompt, and what can be left out when it refuses. Pure: must not send anything."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from backends.cloud.providers import Endpoint
from backends.records import RunRequest
from backends.spending import Ceiling

Body = dict[str, object]

LIMITS = ("max_completion_tokens", "max_tokens")
PAIR = ("temperature", "top_p")  # some take one of them; the second then goes
NEEDED = frozenset({"model", "messages", "stream"})
REFUSAL = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra (inputs|fields)|not (permitted|allowed)"
    r"|only the default|does not (accept|allow)|is not available|deprecated|only [\w.]+ is allowed",
    re.IGNORECASE,
)
# These are about the value alone: another one may be taken.
OF_VALUE = re.compile(
    r"unsupported value|only the default|only [\w.]+ is allowed|does not support [\d.]", re.IGNORECASE
)
NOT_BOTH = re.compile(r"cannot both be|not both|only one of|mutually exclusive", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A parameter that a server refused; with `value`, as Python writes it, only that one."""

    name: str
    value: str | None = None

    def is_about(self, name: str, value: object) -> bool:
        return self.name == name and self.value in (None, repr(value))

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name} {self.value}"


Refusals = frozenset[Refusal]
UNASKED = frozenset({"stream_options", "service_tier", "provider"})  # ours, not the person's


class ChatRequest:
    """The body of one chat request. `refused` is what this server refused before, for this model; `ceiling` what it may
    pay to whomever it passes the question to."""

    def __init__(
        self,
        request: RunRequest,
        endpoint: Endpoint,
        model: str,
        refused: Refusals,
        ceiling: Ceiling | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._model = model
        self._ceiling = ceiling
        self.refused = refused
        wanted = LIMITS if endpoint.limit_parameter == "both" else (endpoint.limit_parameter,)
        self._limits = self._not_refused(wanted) or self._not_refused(LIMITS)[:1]

    def _not_refused(self, limits: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in limits if not self._is_refused(name, self._request.sampling.max_tokens))

    def _is_refused(self, name: str, value: object) -> bool:
        return any(each.is_about(name, value) for each in self.refused)

    @property
    def thinks(self) -> bool:
        """Whether the model is known, or asked, to think before it writes; most send nothing meanwhile."""
        asked = self._request.sampling.reasoning_effort
        return asked != "none" and (asked is not None or not self._endpoint.takes_sampling(self._model))

    def body(self) -> Body:
        """Everything that is sent, as JSON values."""
        wished = self._wished()
        return {name: value for name, value in wished.items() if name in NEEDED or not self._is_refused(name, value)}

    def _wished(self) -> Body:
        sampling = self._request.sampling
        body: Body = {
            "model": self._model,
            "messages": [{"role": part.role, "content": part.text} for part in self._request.prompt.messages],
            "stream": True,
            **self._stream_options(),
            **self._choices(),
        }
        if sampling.max_tokens is not None:
            body |= dict.fromkeys(self._limits, sampling.max_tokens)
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self._endpoint.service_tier is not None:
            body["service_tier"] = self._endpoint.service_tier
        if self._ceiling is not None:
            body["provider"] = {"max_price": self._ceiling.rates()}
        if sampling.reasoning_effort in self._endpoint.takes_effort(self._model):
            body["reasoning_effort"] = sampling.reasoning_effort
        return body

    def _stream_options(self) -> Body:
        options: Body = {"include_usage": True} if self._endpoint.include_usage else {}
        if self._endpoint.obfuscation:
            options["include_obfuscation"] = False
        return {"stream_options": options} if options else {}

    def _choices(self) -> Body:
        """How tokens are chosen, where the model lets the caller say."""
        sampling = self._request.sampling
        if not self._endpoint.takes_sampling(self._model):
            return {}
        choices: Body = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        choices |= {theirs: getattr(sampling, ours) for ours, theirs in self._endpoint.sampling}
        if sampling.seed is not None:
            choices["seed"] = sampling.seed
        return choices

    def price_settings(self) -> dict[str, object]:
        """What the request says of its price, as settings of the run; None where the server would not be told."""
        body, told = self.body(), dict[str, object]()
        if self._endpoint.service_tier is not None:
            told["service_tier"] = body.get("service_tier")
        if self._ceiling is not None:
            told["max_price_usd_per_mtok"] = self._ceiling.rates() if "provider" in body else None
        return told

    def not_sent(self) -> list[str]:
        """The choices of `Sampling` that this server is not told, by our names: the answer was made without them."""
        theirs = dict(self._endpoint.sampling) | {"max_tokens": next(iter(self._limits), "")}
        body = self.body()
        chosen = {name: value for name, value in asdict(self._request.sampling).items() if value not in (None, ())}
        return sorted(name for name in chosen if theirs.get(name, name) not in body)

    def left_out(self) -> list[str]:
        """What the person asked for and this server refused before, so that it is not sent; by the server's names."""
        body, wished = self.body(), self._wished()
        gone = [name for name in wished if name not in body and name not in UNASKED]
        return gone if self._limits or self._request.sampling.max_tokens is None else [*gone, "max_tokens"]

    def refusal(self, param: str | None, code: str | None, message: str) -> Refusal | None:
        """What of ours a server refuses, if the answer may do without it.

        A value that is refused is remembered with its parameter; a limit on the answer is never left out for its value.
        """
        name = self._refused_name(param, code, message)
        if name is None or not (code == "unsupported_value" or OF_VALUE.search(message)):
            return None if name is None else Refusal(name)
        return None if name in LIMITS else Refusal(name, repr(self.body()[name]))

    def _refused_name(self, param: str | None, code: str | None, message: str) -> str | None:
        """Servers name it in `param` (OpenAI), or only in the message (most others)."""
        sent = [name for name in self.body() if name not in NEEDED]
        if NOT_BOTH.search(message) and all(name in sent and _place(name, message) >= 0 for name in PAIR):
            return PAIR[1]
        if not (REFUSAL.search(message) or (code or "").startswith("unsupported")):
            return None
        if param is not None:
            named = param.partition(".")[0]
            return named if named in sent else None
        places = {name: _place(name, message) for name in sent}
        if "stream_options" in places:
            places["stream_options"] = max(places["stream_options"], _place("include_usage", message))
        if "provider" in places:  # a word that stands in many messages
            places["provider"] = _place("max_price", message)
        found = [name for name in sent if places[name] >= 0]
        return min(found, key=lambda name: places[name]) if found else None

    def without(self, refusal: Refusal) -> ChatRequest:
        """The same request without what was refused; a limit is then sent under its other name."""
        return ChatRequest(self._request, self._endpoint, self._model, self.refused | {refusal}, self._ceiling)

    def replacement_for(self, name: str) -> str | None:
        """The parameter now sent in place of a refused one."""
        return next(iter(self._limits), None) if name in LIMITS else None


def _place(name: str, message: str) -> int:
    match = re.search(rf"\b{re.escape(name)}\b", message)
    return match.start() if match else -1
