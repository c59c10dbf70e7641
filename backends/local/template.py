"""Renders a GGUF's chat template, which a stranger wrote: sandboxed, bounded in size, time, memory and output.

Must not know llama.cpp. A template that cannot be used is reported, never trusted: the plain chat format stands in.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Template, TemplateSyntaxError
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backends.records import Message

MAX_TEMPLATE_CHARS = 65_536
TIME_LIMIT_S = 2.0
GRACE_S = 3.0
MEMORY_LIMIT_BYTES = 256 * 2**20
OUTPUT_BASE_CHARS = 65_536
OUTPUT_FACTOR = 4
MAX_INTEGER_BITS = 256
PLAIN_STOP = "\nUser:"

Result = TypeVar("Result")


class TemplateUnusable(Exception):
    """The template broke a limit or failed; its text completes "the model's chat template ..."."""


class _Refused(Exception):
    """The template itself called raise_exception."""


class _TimeUp(BaseException):
    """Thrown into the rendering thread from outside; no template code can catch it."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox does not bound arithmetic: 9**9**9 or "x" * 10**12 would run in C, where nothing interrupts."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or _too_large(left, right):
            raise SecurityError("arithmetic without bounds")
        return super().call_binop(context, operator, left, right)


def _too_large(left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length() > MAX_INTEGER_BITS
    for sized, count in ((left, right), (right, left)):
        if hasattr(sized, "__len__") and isinstance(count, int):
            return len(sized) * count > OUTPUT_BASE_CHARS
    return False


class ChatTemplate:
    """A compiled template; raises TemplateUnusable where it cannot be compiled."""

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            raise TemplateUnusable(f"is longer than {MAX_TEMPLATE_CHARS:,} characters")
        self._given = {"bos_token": bos, "eos_token": eos}
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._template: Template = _bounded(lambda: environment.from_string(source))

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt that asks for the assistant's turn; raises TemplateUnusable."""
        turns = [{"role": message.role, "content": message.text} for message in messages]
        limit = OUTPUT_BASE_CHARS + OUTPUT_FACTOR * sum(len(message.text) for message in messages)

        def work() -> str:
            parts: list[str] = []
            room = limit
            for part in self._template.generate(messages=turns, add_generation_prompt=True, tools=None, **self._given):
                room -= len(part)
                if room < 0:
                    raise TemplateUnusable("writes far more than it was given")
                parts.append(part)
            return "".join(parts)

        return _bounded(work)


def plain_chat(messages: Sequence[Message]) -> str:
    """A format that any model can follow; stop at PLAIN_STOP, or a base model goes on to speak for the user."""
    names = {"user": "User: ", "assistant": "Assistant: ", "system": ""}
    turns = [f"{names[message.role]}{message.text.strip()}" for message in messages]
    return "\n\n".join([*turns, "Assistant:"])


def _bounded(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread of its own under the limits: an exception thrown at it can then hit nothing else."""
    outcome: list[Result] = []
    failure: list[str] = []

    def target() -> None:
        try:
            with _memory_limit():
                outcome.append(work())
        except (Exception, _TimeUp) as error:  # noqa: BLE001 - a template may raise anything; all of it is its failure
            failure.append(_reason(error))

    thread = threading.Thread(target=target, name="template", daemon=True)
    thread.start()
    thread.join(TIME_LIMIT_S)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_TimeUp))
        thread.join(GRACE_S)
    if not outcome:
        raise TemplateUnusable(failure[0] if failure else "takes too long")
    return outcome[0]


def _reason(error: BaseException) -> str:
    """Why, in words; never the error's own text, which may quote the prompt."""
    if isinstance(error, TemplateUnusable):
        return str(error)
    reasons: tuple[tuple[type[BaseException], str], ...] = (
        (_TimeUp, "takes too long"),
        (MemoryError, "needs too much memory"),
        (RecursionError, "is nested too deeply"),
        (OverflowError, "loops too often"),
        (SecurityError, "tries something that is not allowed"),
        (TemplateSyntaxError, "is not written correctly"),
        (_Refused, "refuses this conversation"),
        (TemplateError, "uses something that is not there"),
    )
    return next((words for kind, words in reasons if isinstance(error, kind)), "failed")


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    """Let the process grow by at most MEMORY_LIMIT_BYTES meanwhile, where the system can say how large it is now."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    wanted = pages * resource.getpagesize() + MEMORY_LIMIT_BYTES
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (min(x for x in (wanted, soft, hard) if x >= 0), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as chat templates expect it; Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: object) -> None:
    raise _Refused


def _strftime_now(format: str) -> str:  # noqa: A002 - the name that templates may pass by keyword
    return datetime.now().astimezone().strftime(format)
