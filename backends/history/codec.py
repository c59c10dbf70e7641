"""Results, prompts and sampling as JSON and back. Pure: must not know where the JSON is kept.

Reading is lenient, because a chat that cannot be shown is a chat lost: a missing, damaged or newer field falls back to
"unknown", and only that field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from backends.errors import Problem
from backends.records import Cost, Message, Prompt, RunResult, Sampling, Usage, frozen_map

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

BLANK_RESULT = RunResult(
    run_id="",
    target="",
    model="",
    provider="",
    text="",
    reasoning_text="",
    finish_reason=None,
    complete=False,
    usage=Usage(),
    ttft_ms=None,
    ttfr_ms=None,
    decode_tok_s=None,
    answer_tok_s=None,
    chars_s=None,
    e2e_ms=None,
    load_ms=None,
    cost=Cost(None, "unknown_price"),
)
TEXT_FIELDS = ("text", "reasoning_text")


def plain(value: object) -> Any:
    """A value as JSON knows it: Decimal as a string, what is not finite as None, what JSON has no word for as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)


def result_as_json(result: RunResult) -> dict[str, Any]:
    """Every field of a result; `result_from_json` gives an equal result back."""
    body: dict[str, Any] = plain(result)
    body["engine_timings"] = {key: value for key, value in body["engine_timings"].items() if value is not None}
    return body


def result_from_json(stored: object) -> RunResult:
    """The result that was stored, with "unknown" in place of what cannot be read. Never raises."""
    result = _lenient(RunResult, BLANK_RESULT, stored)
    return replace(result, engine_timings=frozen_map(result.engine_timings), settings=_frozen(result.settings))


def sampling_from_json(stored: object) -> Sampling:
    """The sampling that was stored, with defaults in place of what cannot be read. Never raises."""
    return _lenient(Sampling, Sampling(), stored)


def problem_from_json(stored: object) -> Problem | None:
    """The problem that was stored, or None. Never raises."""
    return None if stored is None else _lenient(Problem, Problem("error", "The run failed.", "", ""), stored)


def prompt_from_json(stored: object, question: str, system: str | None) -> Prompt:
    """The prompt that was stored, or one of its question and system prompt alone. Never raises."""
    try:
        messages = _adapter(tuple[Message, ...]).validate_python(stored)
    except ValidationError:
        messages = ()
    return Prompt(messages) if messages else Prompt.ask(question, system)


def to_text(value: object) -> str:
    """JSON in ASCII, so that text that is not valid Unicode survives as well."""
    return json.dumps(plain(value), separators=(",", ":"))


def from_text(text: object) -> Any:
    """What the JSON says, or None where it is none."""
    try:
        return json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        return None


def _lenient(kind: type[T], blank: T, stored: object) -> T:
    if not isinstance(stored, dict):
        return blank
    spare: dict[str, Any] = {each.name: getattr(blank, each.name) for each in fields(blank)}
    data = {key: stored.get(key, default) for key, default in spare.items()}
    adapter: TypeAdapter[T] = _adapter(kind)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        for place in error.errors(include_url=False, include_input=False, include_context=False):
            key = str(place["loc"][0])
            data[key] = spare[key]
        return adapter.validate_python(data)


def _frozen(value: Any) -> Any:
    """JSON's lists and objects as the values they were."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
