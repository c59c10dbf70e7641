"""Reads a streamed answer chunk by chunk into a run's books. Must not open, retry or close anything."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from backends.errors import AnswerTooLarge, UnreadableReply
from backends.records import Cost, Number, Usage, frozen_map
from backends.tally import Tally

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

MAX_TEXT_BYTES = 8_000_000
MAX_NAME = 200
MAX_CHARGE_USD = 1_000_000
MAX_TIMINGS = 40
REASONING_FIELDS = ("reasoning_content", "reasoning")  # llama.cpp and DeepSeek; OpenRouter, Groq and newer vLLM
TIME_SUFFIXES = ("_time", "_ms")  # Groq keeps its times, in seconds, among the counts
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
HIGH_SURROGATES = range(0xD800, 0xDC00)


class Arrival(Protocol):
    """Where the stamp of the last bytes is found."""

    arrived_ns: int


class Whole:
    """Joins text that was cut inside a character.

    JSON writes an emoji as two halves, which a server may put into two events; each alone is not text.
    """

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """The text that is whole so far; a half at the end waits for the next piece."""
        text = self._half + piece
        self._half = text[-1] if text and ord(text[-1]) in HIGH_SURROGATES else ""
        return _joined(text[:-1] if self._half else text)

    def rest(self) -> str:
        """What never became whole, as a replacement character."""
        half, self._half = self._half, ""
        return _joined(half)


def _joined(text: str) -> str:
    if LONE_SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _name(text: str) -> str:
    """A name that a server gave, as text that every file and stream can hold."""
    return _joined(text)[:MAX_NAME]


class Reader:
    """Takes chunks in order. Text after the first finish_reason is ignored; usage and timings still count."""

    def __init__(self, tally: Tally, wire: Arrival, charged_by: str | None = None) -> None:
        """`charged_by` names a server whose usage says what it charged."""
        self._charged_by = charged_by
        self._tally = tally
        self._wire = wire
        self._text = Whole()
        self._reasoning = Whole()
        self._n_bytes = 0
        self._tier: str | None = None
        self.finish_reason: str | None = None
        self.chunks = 0
        self.error: object = None

    def take(self, chunk: ChatCompletionChunk) -> bool:
        """True if it brought text or the end. Raises AnswerTooLarge; a malformed chunk raises what it raises."""
        self.chunks += 1
        # The SDK builds chunks without checking them, so every field may be missing or of another kind.
        if isinstance(chunk.model, str) and chunk.model:
            self._tally.model = _name(chunk.model)
        self._take_figures(chunk)
        if self.finish_reason is not None or not chunk.choices:
            return False
        choice = chunk.choices[0]
        moved = self._take_delta(choice.delta) if choice.delta is not None else False
        if isinstance(choice.finish_reason, str) and choice.finish_reason:
            self._end(choice.finish_reason, _extra(choice).get("error"))
            return True
        return moved

    def _take_delta(self, delta: object) -> bool:
        fields = _extra(delta)
        thought = next((fields[name] for name in REASONING_FIELDS if isinstance(fields.get(name), str)), "")
        moved = self._think(str(thought)) if thought else False
        for name in ("content", "refusal"):
            piece = getattr(delta, name)
            if isinstance(piece, list):
                moved = self._take_parts(piece) or moved
            elif isinstance(piece, str) and piece:
                moved = self._say(piece) or moved
            elif not isinstance(piece, str | None):
                raise UnreadableReply("The server sent text in a form that cannot be read.")
        return moved

    def _take_parts(self, parts: list[object]) -> bool:
        """Content as a list: of texts, and at Mistral of what was thought in between. Raises UnreadableReply."""
        moved = False
        for part in parts:
            fields = _as_dict(part)
            if isinstance(text := part if isinstance(part, str) else fields.get("text"), str):
                moved = self._say(text) or moved
            elif isinstance(thought := fields.get("thinking"), str | list):
                thought = thought if isinstance(thought, str) else "".join(_texts(thought))
                moved = self._think(thought) or moved
            elif fields.get("type") != "reference":  # which names a source, and holds no text
                raise UnreadableReply("The server sent a part of its answer that is no text.")
        return moved

    def _say(self, piece: str) -> bool:
        text = self._within_limit(self._text.add(piece))
        if text:
            self._tally.text_arrived(text, at_ns=self._wire.arrived_ns)
        self._stop_if_full()
        return bool(text)

    def _think(self, piece: str) -> bool:
        text = self._within_limit(self._reasoning.add(piece))
        if text:
            self._tally.reasoning_arrived(text, at_ns=self._wire.arrived_ns)
        self._stop_if_full()
        return bool(text)

    def _within_limit(self, text: str) -> str:
        data = text.encode()
        room = MAX_TEXT_BYTES - self._n_bytes
        self._n_bytes += len(data)
        return text if len(data) <= room else data[: max(0, room)].decode(errors="ignore")

    def _stop_if_full(self) -> None:
        if self._n_bytes > MAX_TEXT_BYTES:
            raise AnswerTooLarge(f"The answer passed {MAX_TEXT_BYTES // 1_000_000} MB and was stopped.")

    def _end(self, reason: str, error: object) -> None:
        if reason == "error":
            self.error = error.get("message", "") if isinstance(error, dict) else ""
            return
        self.finish_reason = _name(reason)
        self.close()

    def close(self) -> None:
        """No more text will come: give out what was held back."""
        for whole, arrived in (
            (self._reasoning, self._tally.reasoning_arrived),
            (self._text, self._tally.text_arrived),
        ):
            rest = whole.rest()
            if rest:
                arrived(rest, at_ns=self._wire.arrived_ns)

    def _take_figures(self, chunk: ChatCompletionChunk) -> None:
        fields = _extra(chunk)
        groq = fields.get("x_groq")
        groq_usage = groq.get("usage") if isinstance(groq, dict) else None
        if isinstance(groq, dict) and groq.get("error"):
            self.error = groq["error"]
        usage = _as_dict(chunk.usage) or _as_dict(groq_usage)
        if usage:
            self._tally.usage = usage_of(usage)
            if self._charged_by is not None:
                self._tally.charged = charged(self._charged_by, usage) or self._tally.charged
        if isinstance(tier := getattr(chunk, "service_tier", None), str) and tier:
            self._tier = _name(tier)
        if self._tier is not None and self._tally.usage.service_tier is None:
            self._tally.usage = replace(self._tally.usage, service_tier=self._tier)
        timings = dict(_timings(_as_dict(fields.get("timings"))))
        timings |= {name: value for name, value in _timings(usage) if name.endswith(TIME_SUFFIXES)}
        if timings:
            self._tally.engine_timings = frozen_map({**self._tally.engine_timings, **timings})


def usage_of(fields: Mapping[str, object]) -> Usage:
    """Token counts from a `usage` object; anything that is not a count is unknown."""
    prompt_details = _as_dict(fields.get("prompt_tokens_details"))
    completion_details = _as_dict(fields.get("completion_tokens_details"))
    return Usage(
        prompt_tokens=_count(fields.get("prompt_tokens")),
        completion_tokens=_count(fields.get("completion_tokens")),
        cached_tokens=_count(prompt_details.get("cached_tokens")),
        reasoning_tokens=_count(completion_details.get("reasoning_tokens")),
        cache_write_tokens=_count(prompt_details.get("cache_write_tokens")),
    )


def charged(by: str, fields: Mapping[str, object]) -> Cost | None:
    """What the server says it charged, in US dollars; None where it does not, or says it of a part only.

    With a key of one's own at whoever answered, OpenRouter's `cost` is its fee; the rest is in `cost_details`.
    """
    fee = _sum(fields.get("cost"))
    if fee is None:
        return None
    source = f"{by}'s own figure"
    if fields.get("is_byok") is not True:
        return Cost(fee, "api_price", None, f"{by} charged ${fee.normalize():f}", source)
    upstream = _sum(_as_dict(fields.get("cost_details")).get("upstream_inference_cost"))
    if upstream is None:
        return None
    words = f"{by} charged ${fee.normalize():f}, and whoever answered ${upstream.normalize():f} to your own key"
    return Cost(fee + upstream, "api_price", None, words, source)


def _sum(value: object) -> Decimal | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < MAX_CHARGE_USD:
        return None
    return Decimal(repr(value))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def _timings(fields: Mapping[str, object]) -> Iterator[tuple[str, Number]]:
    """The server's own measurements, under its own names."""
    for name, value in list(fields.items())[:MAX_TIMINGS]:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield _name(name), value


def _texts(parts: list[object]) -> Iterator[str]:
    for part in parts:
        text = _as_dict(part).get("text")
        if isinstance(text, str):
            yield text


def _as_dict(value: object) -> Mapping[str, object]:
    """A JSON object, whether the SDK made a model of it or left it as it was."""
    if isinstance(value, dict):
        return value
    dump = getattr(value, "model_dump", None)
    fields = dump(warnings=False) if callable(dump) else None
    return fields if isinstance(fields, dict) else {}


def _extra(model: object) -> Mapping[str, object]:
    """Fields that the SDK does not know."""
    extra = getattr(model, "model_extra", None)
    return extra if isinstance(extra, dict) else {}
