"""The bench: its formulas by hand, and real workers with models that go on for ever, or end early."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from backends.bench import BenchFailed, BenchWish, measure
from backends.bench_figures import Answer, BenchReport, Round, Shared, report_as_json
from backends.compare import Comparison
from backends.errors import NearfarError
from backends.events import Event, Prefill
from backends.history.codec import BLANK_RESULT
from backends.metrics import MIN_INTERVAL_NS, MIN_TOKENS
from backends.models.gguf_file import read_model
from backends.paths import app_paths
from backends.records import EngineReport, OtherWork, Prompt, RunRequest, Target, frozen_map
from backends.targets import DEMO
from backends.workbench import Workbench
from tests.gguf_factory import write_script

COUNTERS = {"prompt_ms": 40.0, "prompt_n": 500, "predicted_ms": 90.0, "predicted_n": 99, "sample_ms": 2.0}
LOADED = EngineReport("m", "CPU", "F16", 0, 2, 2048, "f16", 1, 1, 1, 1, load_ms=30.0, engine_build="x")


def answer(**changes: Any) -> Answer:
    """500 tokens read in 50 ms; then 100 tokens, the first alone, a millisecond apart."""
    result = replace(BLANK_RESULT, engine_timings=frozen_map({**COUNTERS, "sample_n": 100}), finish_reason="length")
    made = Answer(
        result=result,
        prompt_tokens=500,
        read_tokens=500,
        read_s=0.05,
        tokens=100,
        decoded=99,
        decode_s=0.099,
        steps=99,
        steps_s=0.099,
    )
    return replace(made, **changes)


def report(*rounds: Round, shared: tuple[Shared, ...] | None = None) -> BenchReport:
    return BenchReport("local:m", LOADED, 30.0, 128, rounds, shared, "0.1")


def test_the_figures_of_a_round_by_hand() -> None:
    each = Round((answer(),))
    assert each.prefill_tok_s == pytest.approx(10_000)
    assert each.engine_prefill_tok_s == pytest.approx(12_500)
    assert each.decode_tok_s == pytest.approx(1000)
    assert each.engine_decode_tok_s == pytest.approx(1100)
    assert each.step_us == pytest.approx(1000)
    assert each.eval_us == pytest.approx(90_000 / 99)
    assert each.sample_us == pytest.approx(20)
    assert each.path_us == pytest.approx(1000 - 90_000 / 99 - 20)
    assert each.path_percent == pytest.approx(100 * (1000 - 90_000 / 99 - 20) / 1000)


def test_short_answers_are_summed_not_averaged() -> None:
    slow = answer(tokens=20, decoded=19, decode_s=0.19, steps=19, steps_s=0.19)
    assert Round((answer(), slow)).decode_tok_s == pytest.approx((99 + 19) / (0.099 + 0.19))


def test_too_little_is_unknown_and_never_nought() -> None:
    few = Round((answer(tokens=15, decoded=14),))
    assert few.decode_tok_s is few.engine_decode_tok_s is few.step_us is few.path_us is few.path_percent is None
    assert few.prefill_tok_s is not None
    quick = Round((answer(decode_s=MIN_INTERVAL_NS / 1e9 - 0.001),))
    assert quick.decode_tok_s is None
    assert quick.engine_decode_tok_s is not None
    empty = answer(
        result=BLANK_RESULT, read_s=None, tokens=0, decoded=0, decode_s=0.0, steps=0, steps_s=0.0
    )  # fmt: skip
    assert Round((empty,)).prefill_tok_s is Round((empty,)).engine_prefill_tok_s is None
    body = report_as_json(report(Round((empty,))))
    assert body["decode_tok_s"] == {"median": None, "low": None, "high": None}
    assert body["bandwidth_share"] is body["touched_bytes"] is body["memories"] is body["other_work"] is None


def test_the_share_of_the_bandwidth() -> None:
    one = report(Round((answer(),)), shared=(Shared("CPU", 10e6, 40.0, "measured"),))
    assert one.bandwidth_share == pytest.approx(10e6 * 1000 / 40e9)
    halves = (Shared("GPU", 5e6, 400.0, "table"), Shared("CPU", 5e6, 40.0, "measured"))
    two = report(Round((answer(),)), shared=halves)
    assert two.bandwidth_share == pytest.approx(1000 * (5e6 / 400e9 + 5e6 / 40e9)), "they work in turn"
    assert two.touched_bytes == 10e6
    unknown = report(Round((answer(),)), shared=(*halves, Shared("Other", 1.0, None, None)))
    assert unknown.bandwidth_share is None


def test_the_answer_that_was_disturbed_most_is_told() -> None:
    def disturbed(share: float) -> Answer:
        return answer(result=replace(answer().result, other_work=OtherWork(share, 1.0, 1.0, 2)))

    found = report(Round((disturbed(0.1), answer())), Round((disturbed(0.7),))).other_work
    assert found is not None
    assert found.busy_share == 0.7


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Workbench]:
    made = Workbench(app_paths())
    yield made
    await made.close()


def words(count: int) -> list[bytes]:
    return [f" word{number}".encode() for number in range(count)]


async def measured(bench: Workbench, target: Target, wish: BenchWish) -> BenchReport:
    return await measure(bench, target, wish, lambda _words: None)


async def test_a_model_that_goes_on_is_measured_in_one_answer_a_round(bench: Workbench, tmp_path: Path) -> None:
    target = Target("local", str(write_script(tmp_path / "endless.gguf", words(20), loop_to=0, n_ctx_train=65_536)))
    found = await measured(bench, target, BenchWish(rounds=2, prompt_tokens=700, tokens=1200))
    assert len(found.rounds) == 2
    for each in found.rounds:
        (only,) = each.answers
        assert only.tokens == 1200
        assert only.read_tokens == only.prompt_tokens, "no KV cache of an earlier prompt was used"
        assert only.prompt_tokens == pytest.approx(700, rel=0.1)
        assert each.decode_tok_s == pytest.approx(only.result.decode_tok_s), "the very figure of a lane"
        assert only.counter("predicted_n") == pytest.approx(1200, abs=2)
        assert each.engine_decode_tok_s is not None
        assert each.path_us is not None
        assert each.engine_prefill_tok_s is not None
        assert each.prefill_tok_s is not None
        assert 0 < each.prefill_tok_s <= each.engine_prefill_tok_s * 1.05
    assert found.load_ms is not None
    assert found.load_ms > 0
    assert {each.answers[0].result.load_ms for each in found.rounds} == {0.0}, "it was loaded once, and before"


async def test_n_batch_is_what_the_worker_really_takes_at_a_time(bench: Workbench, tmp_path: Path) -> None:
    target = Target("local", str(write_script(tmp_path / "m.gguf", words(20))))
    found = await measured(bench, target, BenchWish(rounds=1, prompt_tokens=64, tokens=20))
    events: list[Event] = []
    asked = RunRequest("run-1", target, Prompt.ask("word " * 400))
    await bench.run(Comparison([asked], bench.engine_for, events.append), [asked])
    read = [event.done for event in events if isinstance(event, Prefill)]
    assert found.n_batch == max(after - before for before, after in itertools.pairwise(read))


async def test_what_a_token_reads_by_hand(bench: Workbench, tmp_path: Path) -> None:
    """One layer, whose keys and values are 128 numbers of 2 bytes each; the output matrix is one of its own."""
    path = write_script(tmp_path / "endless.gguf", words(20), loop_to=0)
    found = await measured(bench, Target("local", str(path)), BenchWish(rounds=1, prompt_tokens=200, tokens=100))
    header = read_model(path)
    weights = sum(each.size_bytes for each in header.tensors if each.name != "token_embd.weight")
    (only,) = found.rounds[0].answers
    assert found.touched_bytes == pytest.approx(weights + (only.prompt_tokens + 50) * 2 * 128 * 2, rel=0.001)
    assert found.shared is not None
    assert found.shared[0].bandwidth_gb_s == (await bench.local.machine()).cpu.bandwidth_gb_s


async def test_a_model_that_ends_early_is_asked_again(bench: Workbench, tmp_path: Path) -> None:
    target = Target("local", str(write_script(tmp_path / "short.gguf", words(25))))
    found = await measured(bench, target, BenchWish(rounds=1, prompt_tokens=100, tokens=60))
    (only,) = found.rounds
    assert len(only.answers) > 2
    assert {each.tokens for each in only.answers} == {25}
    assert only.tokens == 25 * len(only.answers)
    assert all(each.read_tokens == each.prompt_tokens for each in only.answers)


async def test_a_model_that_says_nearly_nothing_has_no_speed(bench: Workbench, tmp_path: Path) -> None:
    target = Target("local", str(write_script(tmp_path / "yes.gguf", words(1))))
    found = await measured(bench, target, BenchWish(rounds=1, prompt_tokens=100, tokens=60))
    assert found.rounds[0].tokens < MIN_TOKENS
    assert report_as_json(found)["decode_tok_s"] == {"median": None, "low": None, "high": None}
    assert found.bandwidth_share is None


async def test_the_demo_which_is_loaded_without_a_plan(bench: Workbench) -> None:
    found = await measured(bench, DEMO, BenchWish(rounds=1, prompt_tokens=64, tokens=64))
    assert found.touched_bytes is not None
    assert found.loaded.quant == "Q8_0"
    assert found.shared is not None
    assert [each.device for each in found.shared] == [(await bench.local.machine()).cpu.name]


async def test_the_prompt_gives_way_to_the_context(bench: Workbench, tmp_path: Path) -> None:
    target = Target("local", str(write_script(tmp_path / "small.gguf", words(20), loop_to=0, n_ctx_train=1024)))
    found = await measured(bench, target, BenchWish(rounds=1, prompt_tokens=5000, tokens=700))
    (only,) = found.rounds[0].answers
    assert only.tokens == 700
    assert only.prompt_tokens <= 1024 - 700
    with pytest.raises(NearfarError, match="context of 1,024 tokens has no room"):
        await measured(bench, target, BenchWish(rounds=1, prompt_tokens=512, tokens=1000))


async def test_a_run_that_fails_says_why(bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(BenchFailed) as failed:
        await measured(bench, Target("local", str(tmp_path / "none.gguf")), BenchWish())
    assert failed.value.problem.code == "model_missing"
    assert "prompt" not in failed.value.problem.sentence


async def test_cancelling_it_stops_the_run_and_closing_leaves_no_worker(bench: Workbench, tmp_path: Path) -> None:
    target = Target("local", str(write_script(tmp_path / "endless.gguf", words(20), loop_to=0, n_ctx_train=65_536)))
    bench.change(n_ctx=65_536)
    writing = asyncio.Event()
    wish = BenchWish(rounds=50, prompt_tokens=64, tokens=60_000)
    task = asyncio.create_task(measure(bench, target, wish, lambda said: writing.set() if "written" in said else None))
    await asyncio.wait_for(writing.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.close()
    assert psutil.Process().children() == []
