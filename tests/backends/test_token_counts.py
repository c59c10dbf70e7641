"""What a token count counts, here and behind llama.cpp's server: the difference of one that `Usage` speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.cloud.practice import PracticeEngine, PracticeServer
from backends.egress import Egress
from backends.engine import Engine
from backends.events import Event, Finished
from backends.local.engine import LocalEngine
from backends.records import Prompt, RunRequest, RunResult, Sampling, Target
from backends.targets import DEMO, PRACTICE
from tests.gguf_factory import write_script

WORDS = tuple(f" w{number}".encode() for number in range(12))


async def _answer(engine: Engine, target: Target, max_tokens: int) -> RunResult:
    events: list[Event] = []
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0, seed=1)
    await engine.run(RunRequest("run-1", target, Prompt.ask("go"), sampling), events.append)
    last = events[-1]
    assert isinstance(last, Finished), last
    return last.result


@pytest.mark.parametrize(("max_tokens", "finish_reason", "ends"), [(100, "stop", 1), (5, "length", 0)])
async def test_llama_cpps_server_counts_the_token_that_ends_an_answer_too(
    tmp_path: Path, max_tokens: int, finish_reason: str, ends: int
) -> None:
    model = write_script(tmp_path / "ends.gguf", WORDS)
    here, there = LocalEngine(model), PracticeEngine(PracticeServer(model), egress=Egress())
    try:
        local = await _answer(here, DEMO, max_tokens)
        served = await _answer(there, PRACTICE, max_tokens)
    finally:
        await here.close()
        await there.close()
    assert local.text == served.text == b"".join(WORDS[:max_tokens]).decode()
    assert local.finish_reason == served.finish_reason == finish_reason
    assert local.usage.completion_tokens == len(WORDS[:max_tokens])
    assert served.usage.completion_tokens == len(WORDS[:max_tokens]) + ends
