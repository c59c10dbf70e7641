"""Asks an engine and keeps its events, with the checks that hold for every run. Must not start processes itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from backends.engine import Engine
from backends.events import Delta, Event, Finished, Started, Terminal, is_terminal
from backends.ids import new_id
from backends.records import Prompt, RunRequest, RunResult, Sampling, Target

HELLO = (b"Hello", b" \xf0\x9f", b"\x98\x80", b" wor", b"ld", b"!")
HELLO_TEXT = "Hello 😀 world!"
SPELLED = tuple(f" {word}".encode() for word in ("alpha", "beta", "gamma", "delta", "omega"))
TARGET = Target("local", "test")
Kind = TypeVar("Kind")


class Recorder:
    """Collects a run's events and checks their order as they come."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        if self.events:
            assert not is_terminal(self.events[-1]), "an event after the last one"
            assert event.at_ns >= self.events[-1].at_ns, "stamps went back"
        else:
            assert isinstance(event, Started)
        self.events.append(event)

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.of(Delta))

    @property
    def end(self) -> Terminal:
        last = self.events[-1]
        assert is_terminal(last)
        assert isinstance(last, Terminal)
        assert last.result.text == self.text
        return last

    async def until(self, holds: Callable[[], bool], limit_s: float = 30.0) -> None:
        """Wait until something holds; the limit only ends a test that would hang."""
        deadline = time.monotonic() + limit_s
        while not holds():
            assert time.monotonic() < deadline, f"did not happen in {limit_s} s"
            await asyncio.sleep(0.005)


def request(prompt: str | Prompt = "hello you", **sampling: Any) -> RunRequest:
    chosen = Sampling(**({"temperature": 0.0} | sampling))
    return RunRequest(new_id("run"), TARGET, Prompt.ask(prompt) if isinstance(prompt, str) else prompt, chosen)


async def ask(engine: Engine, prompt: str | Prompt = "hello you", **sampling: Any) -> Recorder:
    """Run to the end, whatever the end is."""
    recorder = Recorder()
    await engine.run(request(prompt, **sampling), recorder)
    assert recorder.end
    return recorder


async def answer(engine: Engine, prompt: str | Prompt = "hello you", **sampling: Any) -> RunResult:
    """Run to a good end and give its result; the counts of the events must agree with the usage."""
    recorder = await ask(engine, prompt, **sampling)
    assert isinstance(recorder.end, Finished), recorder.end
    result = recorder.end.result
    assert result.complete
    assert sum(delta.n_tokens or 0 for delta in recorder.of(Delta)) == result.usage.completion_tokens
    return result
