"""What every engine must keep, as one class of tests. Must not know which engine it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from backends.engine import Engine
from backends.events import Cancelled, Delta, Event, Finished, Sent, Started, Terminal, is_terminal
from backends.ids import new_id
from backends.records import Prompt, RunRequest, Sampling, Target

PROMPT = Prompt.ask("What does tok/s mean?")


class EngineConformance:
    """Subclasses give the fixtures `engine` and `target`."""

    def request(self, target: Target, max_tokens: int | None = 48) -> RunRequest:
        return RunRequest(new_id("run"), target, PROMPT, Sampling(max_tokens=max_tokens, temperature=0.0, seed=7))

    async def run(self, engine: Engine, request: RunRequest) -> list[Event]:
        events: list[Event] = []
        await engine.run(request, events.append)
        return events

    async def run_and_cancel(self, engine: Engine, request: RunRequest, when: Callable[[Event], bool]) -> list[Event]:
        """Cancel as soon as an event satisfies `when`."""
        events: list[Event] = []
        reached = asyncio.Event()

        def listen(event: Event) -> None:
            events.append(event)
            if when(event):
                reached.set()

        task = asyncio.create_task(engine.run(request, listen))
        waiting = asyncio.create_task(reached.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        was_running = task.cancel()
        if was_running:
            with pytest.raises(asyncio.CancelledError):
                await task
        return events

    def end_of(self, events: list[Event]) -> Terminal:
        ends = [event for event in events if is_terminal(event)]
        assert len(ends) == 1
        last = events[-1]
        assert isinstance(last, Terminal)
        return last

    async def test_a_run_ends_once_in_order_and_whole(self, engine: Engine, target: Target) -> None:
        events = await self.run(engine, self.request(target))
        assert isinstance(events[0], Started)
        end = self.end_of(events)
        assert isinstance(end, Finished)
        assert end.result.complete
        assert end.result.finish_reason in ("stop", "length")
        assert end.result.text == "".join(event.text for event in events if isinstance(event, Delta))
        assert {event.run_id for event in events} == {end.result.run_id}

    async def test_stamps_never_decrease(self, engine: Engine, target: Target) -> None:
        events = await self.run(engine, self.request(target))
        stamps = [event.at_ns for event in events]
        assert stamps == sorted(stamps)
        sent = next(event for event in events if isinstance(event, Sent))
        for delta in (event for event in events if isinstance(event, Delta)):
            assert list(delta.stamps_ns) == sorted(delta.stamps_ns)
            assert all(sent.at_ns <= stamp <= delta.at_ns for stamp in delta.stamps_ns)

    async def test_counts_agree_with_usage(self, engine: Engine, target: Target) -> None:
        events = await self.run(engine, self.request(target, max_tokens=20))
        result = self.end_of(events).result
        assert result.usage.prompt_tokens is not None
        assert result.usage.prompt_tokens > 5
        assert result.usage.completion_tokens == 20
        assert result.finish_reason == "length"
        counts = [event.n_tokens for event in events if isinstance(event, Delta)]
        if None not in counts:
            assert sum(count or 0 for count in counts) == 20

    async def test_the_figures_fit_the_events(self, engine: Engine, target: Target) -> None:
        events = await self.run(engine, self.request(target))
        result = self.end_of(events).result
        sent = next(event for event in events if isinstance(event, Sent))
        texts = [event for event in events if isinstance(event, Delta) and event.text]
        assert result.ttft_ms == pytest.approx((texts[0].at_ns - sent.at_ns) / 1e6)
        assert result.e2e_ms == pytest.approx((texts[-1].at_ns - sent.at_ns) / 1e6)

    @pytest.mark.parametrize("deltas", [0, 1, 2, 5])
    async def test_cancelled_after_some_text_keeps_it(self, engine: Engine, target: Target, deltas: int) -> None:
        seen = [0]

        def enough(event: Event) -> bool:
            seen[0] += isinstance(event, Delta)
            return isinstance(event, Sent) if deltas == 0 else seen[0] >= deltas

        events = await self.run_and_cancel(engine, self.request(target, max_tokens=1500), enough)
        end = self.end_of(events)
        assert end.result.text == "".join(event.text for event in events if isinstance(event, Delta))
        if isinstance(end, Cancelled):
            assert not end.result.complete

    async def test_cancelled_at_once_and_asked_again(self, engine: Engine, target: Target) -> None:
        events = await self.run_and_cancel(engine, self.request(target), lambda _event: True)
        assert isinstance(self.end_of(events), Cancelled)
        again = await self.run(engine, self.request(target))
        assert isinstance(self.end_of(again), Finished)

    async def test_the_same_question_gives_the_same_answer(self, engine: Engine, target: Target) -> None:
        first = self.end_of(await self.run(engine, self.request(target))).result
        second = self.end_of(await self.run(engine, self.request(target))).result
        assert first.text == second.text

    async def test_closing_twice_is_harmless(self, engine: Engine, target: Target) -> None:
        await self.run(engine, self.request(target, max_tokens=4))
        await engine.close()
        await engine.close()
