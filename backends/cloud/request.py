"""What is sent to a server for one prompt, and what can be left out when it refuses. Pure: must not send anything."""

from __future__ import annotations

import re
from dataclasses import asdict

from backends.cloud.providers import Endpoint
from backends.records import RunRequest
from backends.spending import Ceiling

Body = dict[str, object]

LIMITS = ("max_completion_tokens", "max_tokens")
NEEDED = frozenset({"model", "messages", "stream"})
REFUSAL = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra (inputs|fields)|not (permitted|allowed)"
    r"|only the default|does not (accept|allow)|is not available",
    re.IGNORECASE,
)


class ChatRequest:
    """The body of one chat request. `refused` names what this server refused before, for this model; `ceiling`
    what it may pay to whomever it passes the question to."""

    def __init__(
        self,
        request: RunRequest,
        endpoint: Endpoint,
        model: str,
        refused: frozenset[str],
        ceiling: Ceiling | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._model = model
        self._ceiling = ceiling
        self.refused = refused
        self._limit: str | None = endpoint.limit_parameter
        if self._limit in refused:
            self._limit = next((name for name in LIMITS if name not in refused), None)

    def body(self) -> Body:
        """Everything that is sent, as JSON values."""
        sampling = self._request.sampling
        body: Body = {
            "model": self._model,
            "messages": [{"role": part.role, "content": part.text} for part in self._request.prompt.messages],
            "stream": True,
            **self._stream_options(),
            **self._choices(),
        }
        if sampling.max_tokens is not None and self._limit is not None:
            body[self._limit] = sampling.max_tokens
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self._endpoint.service_tier is not None:
            body["service_tier"] = self._endpoint.service_tier
        if self._ceiling is not None:
            body["provider"] = {"max_price": self._ceiling.rates()}
        if sampling.reasoning_effort in self._endpoint.takes_effort(self._model):
            body["reasoning_effort"] = sampling.reasoning_effort
        return {name: value for name, value in body.items() if name in NEEDED or name not in self.refused}

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
        theirs = dict(self._endpoint.sampling) | {"max_tokens": self._limit}
        body = self.body()
        chosen = {name: value for name, value in asdict(self._request.sampling).items() if value not in (None, ())}
        return sorted(name for name in chosen if theirs.get(name, name) not in body)

    def refused_name(self, param: str | None, code: str | None, message: str) -> str | None:
        """Which parameter of ours a refusal is about, if the answer may do without it.

        Servers name it in `param` (OpenAI), or only in the message (most others).
        """
        sent = [name for name in self.body() if name not in NEEDED]
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

    def without(self, name: str) -> ChatRequest:
        """The same request without a parameter; a refused limit is sent under its other name."""
        return ChatRequest(self._request, self._endpoint, self._model, self.refused | {name}, self._ceiling)

    def replacement_for(self, name: str) -> str | None:
        """The parameter now sent in place of a refused one."""
        return self._limit if name in LIMITS else None


def _place(name: str, message: str) -> int:
    match = re.search(rf"\b{re.escape(name)}\b", message)
    return match.start() if match else -1
