"""Measures one local model in the app's own path, beside llama.cpp's own counters. Must not know terminals or JSON.

Each round reads a prompt that shares no computed token with an earlier one, then decodes. An answer that ends early is
followed by others, with prompts of their own, until the round has the tokens that were asked for; their tokens and
times are summed, so that no short answer is left out or counted twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backends.bench_figures import Answer, BenchReport, MemorySource, Round, Shared
from backends.compare import Comparison
from backends.devices.bandwidth import kept_bandwidth
from backends.devices.system import read_cpu, read_memory
from backends.errors import NearfarError, Problem
from backends.events import Cancelled, Delta, Event, Failed, Finished, Loaded, Loading, Prefill, Sent
from backends.fit.placement import seen_by_engine
from backends.fit.ranking import fit_of
from backends.fit.records import Wish
from backends.fit.speed import Work, works
from backends.ids import new_id
from backends.load_plan import facts_in
from backends.local.facts import CPU_BATCH, GPU_BATCH
from backends.local_models import model_file
from backends.records import EngineReport, Prompt, RunRequest, RunResult, Sampling, Target
from backends.targets import DEMO
from backends.workbench import Workbench

SPARE_TOKENS = 16  # of the context: words are only about as many tokens as they were in the warm-up
LEAST_PROMPT_TOKENS = 32
MAX_ANSWERS = 12  # in one round
SLOW_ANSWERS, SLOW_ROUND_S = 4, 5.0  # so many are enough where they take long
TELL_EVERY_S = 0.2
ENOUGH_S = 0.1  # under half of that a speed is not shown
WARM_UP_TOKENS = 16
ASK = "Write a long story that uses all of these words in this order, and then go on with it: "
WORDS = (
    *("river", "market", "window", "garden", "letter", "mountain", "silver", "number", "coffee", "winter", "teacher"),
    *("island", "forest", "engine", "music", "bridge", "paper", "summer", "kitchen", "doctor", "planet", "village"),
    *("mirror", "station", "corner", "animal", "history", "camera", "button", "harbour"),
)


class BenchFailed(NearfarError):
    """A run of the measurement failed; the problem is the run's own, but that there is no prompt of a person's."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = replace(problem, safe="Nothing was changed.")


@dataclass(frozen=True, slots=True)
class BenchWish:
    """How much to measure: rounds, tokens of each prompt (about), and tokens to decode in each round (at most)."""

    rounds: int = 3
    prompt_tokens: int = 512
    tokens: int = 128


async def measure(bench: Workbench, target: Target, wish: BenchWish, progress: Callable[[str], None]) -> BenchReport:
    """Load, warm up, then the rounds. `progress` is told in a few words what goes on.

    Raises NearfarError where the model cannot run, and where its context is too small for what is wished. Cancelling it
    stops the run at work.
    """
    asker = _Asker(bench, target, progress)
    few, more = len(WORDS), 3 * len(WORDS)
    first = await asker.ask(few, WARM_UP_TOKENS)
    second = await asker.ask(more, WARM_UP_TOKENS)
    loaded, load_ms = asker.loaded, first.result.load_ms
    per_word = (second.prompt_tokens - first.prompt_tokens) / (more - few)
    template = first.prompt_tokens - per_word * few
    n_words = max(1, round((_room(loaded, wish) - template) / per_word)) if per_word > 0 else few
    progress("measuring the memory of this machine")
    await bench.local.measure_memory()
    rounds = [await _round(asker, wish, n_words, f"round {n + 1} of {wish.rounds}") for n in range(wish.rounds)]
    last = rounds[-1].answers[-1].result
    return BenchReport(
        target=str(target),
        loaded=loaded,
        load_ms=load_ms,
        n_batch=_n_batch(loaded, last),
        rounds=tuple(rounds),
        shared=await _shared(bench, target, loaded, rounds),
        app_version=last.app_version,
    )


def _room(loaded: EngineReport, wish: BenchWish) -> int:
    """Tokens for the prompt: what is wished, or what the context leaves beside the answer."""
    room = min(wish.prompt_tokens, loaded.n_ctx - wish.tokens - SPARE_TOKENS)
    if room < min(LEAST_PROMPT_TOKENS, wish.prompt_tokens):
        raise NearfarError(
            f"The context of {loaded.n_ctx:,} tokens has no room for a prompt and {wish.tokens:,} tokens of answer.",
            safe="Nothing was measured.",
            fix="Ask for fewer with --tokens.",
        )
    return room


def _n_batch(loaded: EngineReport, result: RunResult) -> int:
    """Prompt tokens that are read at a time, as the worker chooses them where nobody did."""
    asked = result.settings.get("n_batch")
    usual = GPU_BATCH if loaded.gpu_layers else CPU_BATCH
    return min(asked if isinstance(asked, int) else usual, loaded.n_ctx)


async def _round(asker: _Asker, wish: BenchWish, n_words: int, name: str) -> Round:
    started_s, answers = time.monotonic(), list[Answer]()
    while not _is_enough(answers, wish, time.monotonic() - started_s):
        asker.stage = name + (f", answer {len(answers) + 1}" if answers else "")
        answers.append(await asker.ask(n_words, wish.tokens))
    return Round(tuple(answers))


def _is_enough(answers: Sequence[Answer], wish: BenchWish, spent_s: float) -> bool:
    if not answers:
        return False
    most = MAX_ANSWERS if spent_s < SLOW_ROUND_S else SLOW_ANSWERS
    if len(answers) >= most:
        return True
    ended_by_itself = all(each.result.finish_reason != "length" for each in answers)
    enough = sum(each.tokens for each in answers) >= wish.tokens
    return enough and (not ended_by_itself or sum(each.decode_s for each in answers) >= ENOUGH_S)


class _Asker:
    """Asks the target one prompt after another, each with another beginning, as a lane would."""

    def __init__(self, bench: Workbench, target: Target, progress: Callable[[str], None]) -> None:
        self._bench = bench
        self._target = target
        self._asked = 0
        self._loaded: EngineReport | None = None
        self._progress = progress
        self._told_s = 0.0
        self.stage = "warming up"

    @property
    def loaded(self) -> EngineReport:
        assert self._loaded is not None, "an answer came, so a model was loaded"
        return self._loaded

    async def ask(self, n_words: int, max_tokens: int) -> Answer:
        """Raises what the run failed with."""
        self._asked += 1
        # A seed makes the run one that is to be repeated to the letter: it takes over whole equal steps alone.
        sampling = Sampling(max_tokens=max_tokens, seed=self._asked)
        request = RunRequest(new_id("run"), self._target, Prompt.ask(_text(self._asked, n_words)), sampling)
        ear = _Ear()
        comparison = Comparison([request], self._bench.engine_for, lambda event: self._hear(ear, event))
        await self._bench.run(comparison, [request])
        return ear.answer()

    def _hear(self, ear: _Ear, event: Event) -> None:
        ear.hear(event)
        if isinstance(event, Loaded):
            self._loaded = event.report
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._progress(self._words(event, ear.tokens))

    def _words(self, event: Event, tokens: int) -> str:
        match event:
            case Loading():
                return f"loading {event.fraction:.0%}"
            case Prefill():
                return f"{self.stage}: {event.done:,} of {event.total:,} tokens read"
            case Delta():
                return f"{self.stage}: {tokens:,} tokens written"
            case _:
                return self.stage


def _text(number: int, n_words: int) -> str:
    """A prompt of so many words, whose first ones are those of no other number."""
    drawn = random.Random(number)  # noqa: S311 - the same words on every machine, no secret
    words: list[str] = []
    while len(words) < n_words:
        words += drawn.sample(WORDS, len(WORDS))
    return f"{number}. {ASK}{' '.join(words[:n_words])}"


class _Ear:
    """Takes the events of one run, and makes an answer of them."""

    def __init__(self) -> None:
        self._sent_ns = 0
        self._stamps: list[int] = []
        self._chunks: list[tuple[int, int]] = []  # of visible text: its stamp, and how many tokens it is
        self._end: Finished | Failed | Cancelled | None = None

    def hear(self, event: Event) -> None:
        match event:
            case Sent():
                self._sent_ns = event.at_ns
            case Delta():
                self._stamps.extend(event.stamps_ns)
                if event.text:
                    self._chunks.append((event.at_ns, event.n_tokens or 0))
            case Finished() | Failed() | Cancelled():
                self._end = event
            case _:
                pass

    @property
    def tokens(self) -> int:
        """Written so far."""
        return len(self._stamps)

    def answer(self) -> Answer:
        end = self._end
        if isinstance(end, Failed):
            raise BenchFailed(end.problem)
        assert isinstance(end, Finished), "only cancelling the bench cancels its runs"
        usage, chunks, stamps = end.result.usage, self._chunks, self._stamps
        tokens = usage.completion_tokens or 0
        return Answer(
            result=end.result,
            prompt_tokens=usage.prompt_tokens or 0,
            read_tokens=(usage.prompt_tokens or 0) - (usage.cached_tokens or 0),
            read_s=(stamps[0] - self._sent_ns) / 1e9 if stamps else None,
            tokens=tokens,
            decoded=max(0, tokens - chunks[0][1]) if chunks else 0,
            decode_s=(chunks[-1][0] - chunks[0][0]) / 1e9 if chunks else 0.0,
            steps=max(0, len(stamps) - 1),
            steps_s=(stamps[-1] - stamps[0]) / 1e9 if stamps else 0.0,
        )


async def _shared(
    bench: Workbench, target: Target, loaded: EngineReport, rounds: Sequence[Round]
) -> tuple[Shared, ...] | None:
    """What a token read on each device; None where the shape is not known, or it lies elsewhere than planned."""
    answers = [answer for each in rounds for answer in each.answers]
    depth = sum(each.prompt_tokens + each.tokens // 2 for each in answers) // len(answers)
    found = await _works(bench, target, loaded, depth)
    if found is None:
        return None
    quiet = await asyncio.to_thread(_was_quiet, bench)
    return tuple(
        Shared(work.device.name, work.touched_bytes, work.device.bandwidth_gb_s, _source(work, quiet=quiet))
        for work in found
    )


def _was_quiet(bench: Workbench) -> bool:
    """Whether the speed of this machine's memory was ever measured in a quiet moment: else it is too low."""
    return kept_bandwidth(bench.paths.cache, read_cpu(), read_memory()) is not None


def _source(work: Work, *, quiet: bool) -> MemorySource | None:
    source = work.device.bandwidth_source
    return "measured_beside_other_work" if source == "measured" and not quiet else source


async def _works(bench: Workbench, target: Target, loaded: EngineReport, depth: int) -> tuple[Work, ...] | None:
    plan = bench.local.plans.plan_of(bench.local.ref_of(target) or "")
    machine = seen_by_engine(await bench.local.machine())  # with the bandwidth that was measured since the load
    if plan is not None:
        facts, fit = plan.facts, plan.fit
    elif target == DEMO:  # which is loaded without a plan
        found = facts_in(model_file(DEMO), DEMO.model)
        if found is None:
            return None
        facts = found
        fit = fit_of(facts, machine, Wish(loaded.n_ctx, loaded.kv_type, loaded.gpu_layers))
    else:
        return None
    return works(fit, facts, machine, depth) if fit.gpu_layers == loaded.gpu_layers else None
