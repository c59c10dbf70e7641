"""Planning a load from the memory that is free then, and what is remembered of it; real files, real worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backends.compare import Comparison
from backends.devices.records import CpuInfo, Device, Machine
from backends.errors import Problem
from backends.events import Event, Failed, Finished, Loaded
from backends.fit.learned_file import LearnedFile
from backends.fit.ranking import speed_of
from backends.fit.records import Wish
from backends.ids import new_id
from backends.load_plan import LoadPlanner, taken_bytes
from backends.models.errors import WouldNotFit
from backends.models.shapes import LLAMA_8B
from backends.paths import app_paths
from backends.records import Cost, EngineReport, Prompt, RunRequest, RunResult, Sampling, Usage
from backends.targets import parse_target
from backends.workbench import Workbench
from tests.gguf_factory import write_random
from tests.gguf_shapes import write_sparse

GIB = 2**30
CPU = Device("Test CPU", "cpu", total_bytes=64 * GIB, free_bytes=60 * GIB, bandwidth_gb_s=50.0, backend="CPU")
GPU = Device("Test GPU", "gpu", uuid="GPU-1", total_bytes=24 * GIB, free_bytes=23 * GIB, bandwidth_gb_s=900.0)


class Reader:
    """A machine that a test changes between two looks."""

    def __init__(self, *gpus: Device, cpu: Device = CPU) -> None:
        self.machine = Machine(gpus=gpus, cpu=cpu, cpu_info=CpuInfo("Test CPU", 8, 16), engine_known=True)

    async def __call__(self) -> Machine:
        return self.machine


def planner(reader: Reader, folder: Path, wish: Wish | None = None) -> LoadPlanner:
    return LoadPlanner(reader, lambda: wish or Wish(), LearnedFile(folder / "learned.json"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_sparse(tmp_path / "8b.gguf", LLAMA_8B, "Q4_K_M")


async def test_a_gpu_that_this_llama_cpp_does_not_use_is_not_planned_on(model: Path, tmp_path: Path) -> None:
    unused = await planner(Reader(GPU), tmp_path).options("m", model)
    used = await planner(Reader(replace(GPU, backend="CUDA0")), tmp_path).options("m", model)
    assert (unused.n_gpu_layers, used.n_gpu_layers) == (0, 33)


async def test_the_plan_is_made_anew_from_what_is_free_then(model: Path, tmp_path: Path) -> None:
    reader = Reader(replace(GPU, backend="CUDA0"))
    plans = planner(reader, tmp_path)
    assert (await plans.options("m", model)).n_gpu_layers == 33
    reader.machine = replace(reader.machine, gpus=(replace(GPU, backend="CUDA0", free_bytes=4 * GIB),))
    options = await plans.options("m", model)
    assert options.n_gpu_layers is not None
    assert 0 < options.n_gpu_layers < 33


async def test_what_does_not_fit_is_refused_once_and_loaded_anyway_when_allowed(model: Path, tmp_path: Path) -> None:
    plans = planner(Reader(cpu=replace(CPU, free_bytes=2 * GIB)), tmp_path)
    with pytest.raises(WouldNotFit, match=r"2\.0 GiB are free"):
        await plans.options("m", model)
    plan = plans.plan_of("m")
    assert plan is not None
    assert plan.fit.missing_bytes > 3 * GIB
    plans.allow("m")
    assert (await plans.options("m", model)).n_ctx == 8192
    with pytest.raises(WouldNotFit):
        await plans.options("m", model)


async def test_what_a_gpu_lost_over_the_load_is_what_the_load_took(model: Path, tmp_path: Path) -> None:
    reader = Reader(replace(GPU, backend="CUDA0"))
    plans = planner(reader, tmp_path)
    await plans.options("m", model)
    plan = plans.plan_of("m")
    assert plan is not None
    after = replace(reader.machine, gpus=(replace(GPU, backend="CUDA0", free_bytes=17 * GIB),))
    assert taken_bytes(plan.fit, after) == 6 * GIB
    assert taken_bytes(plan.fit, replace(after, gpus=())) is None
    assert taken_bytes(plan.fit, replace(after, gpus=(replace(GPU, free_bytes=None),))) is None
    assert taken_bytes(plan.fit, reader.machine) is None, "a driver that sees no load cannot say what it took"


async def test_equal_gpus_that_no_driver_tells_apart_are_counted_each(tmp_path: Path) -> None:
    cards = [
        replace(GPU, uuid=None, backend=f"Vulkan{number}", free_bytes=size * GIB) for number, size in enumerate((5, 4))
    ]
    plans = planner(Reader(*cards), tmp_path)
    await plans.options("m", write_sparse(tmp_path / "q8.gguf", LLAMA_8B, "Q6_K"))
    plan = plans.plan_of("m")
    assert plan is not None
    assert len(plan.fit.gpus) == 2
    now = [replace(card, free_bytes=(card.free_bytes or 0) - 3 * GIB) for card in cards]
    assert taken_bytes(plan.fit, Reader(*now).machine) == 6 * GIB


async def test_where_llama_cpp_did_not_answer_it_places_the_layers_itself(model: Path, tmp_path: Path) -> None:
    """A CPU plan made without knowing its GPUs would be kept for as long as the model is loaded."""
    reader = Reader(GPU)
    reader.machine = replace(reader.machine, engine_known=False)
    options = await planner(reader, tmp_path).options("m", model)
    assert (options.n_ctx, options.n_gpu_layers, options.devices) == (8192, None, None)


def result(decode_tok_s: float, *, prompt_tokens: int, completion_tokens: int) -> RunResult:
    usage = Usage(prompt_tokens, completion_tokens)
    cost = Cost(None, "not_measured")
    return RunResult(
        *("run", "local:m", "m", "local", "", "", "stop", True, usage),
        *(None, None, decode_tok_s, None, None, None, None, cost),
    )


def report(gpu_layers: int, n_ctx: int) -> EngineReport:
    return EngineReport("m", "Test GPU", None, gpu_layers, 33, n_ctx, "f16", 1, None, None, None, 1.0, "test")


async def test_what_a_load_really_took_is_learned_and_corrects_the_next_plan(model: Path, tmp_path: Path) -> None:
    reader = Reader(replace(GPU, backend="CUDA0"))
    plans = planner(reader, tmp_path)
    await plans.options("llama-3.1-8b:Q4_K_M", model)
    plan = plans.plan_of("llama-3.1-8b:Q4_K_M")
    assert plan is not None
    predicted = sum(part.total_bytes for part in plan.fit.gpus)
    took = predicted + 100 * 2**20
    reader.machine = replace(reader.machine, gpus=(replace(GPU, backend="CUDA0", free_bytes=23 * GIB - took),))
    await plans.loaded(plan.ref, report(33, 8192), None)
    (seen,) = LearnedFile(tmp_path / "learned.json").load().seen
    assert (seen.devices, seen.gpu_layers) == (("Test GPU",), 33)
    assert (seen.predicted_bytes, seen.real_bytes) == (predicted, took)
    reader.machine = replace(reader.machine, gpus=(replace(GPU, backend="CUDA0"),))
    await plans.options(plan.ref, model)
    again = plans.plan_of(plan.ref)
    assert again is not None
    assert sum(part.total_bytes for part in again.fit.gpus) == took


async def test_a_short_run_at_a_long_context_says_nothing_of_other_contexts(model: Path, tmp_path: Path) -> None:
    """The estimate is for a half full context; a run of a few hundred tokens is quicker, and just as expected."""
    reader = Reader(replace(GPU, backend="CUDA0"))
    plans = planner(reader, tmp_path, Wish(n_ctx=131_072))
    await plans.options("llama-3.1-8b:Q4_K_M", model)
    plan = plans.plan_of("llama-3.1-8b:Q4_K_M")
    assert plan is not None
    assert plan.fit.verdict == "gpu"
    real = speed_of(plan.ref, plan.fit, plan.facts, reader.machine, depth_tokens=100 + 400 // 2)
    assert real is not None
    assert plan.speed is not None
    assert real.middle_tok_s > 1.5 * plan.speed.middle_tok_s
    await plans.loaded(plan.ref, report(33, 131_072), None)
    for _ in range(3):
        await plans.ran(plan.ref, result(real.middle_tok_s, prompt_tokens=100, completion_tokens=400))
    learned = await plans.learned()
    assert sum(each.real_tok_s is not None for each in learned.seen) == 3
    assert learned.speed_factor(plan.ref, ("Test GPU",), 33) == pytest.approx(1.0)


async def test_the_refusal_names_the_device_that_lacks_most(tmp_path: Path) -> None:
    """The GPU has room for what it is to take; it is the machine's memory that has none for the rest."""
    gpu, cpu = replace(GPU, backend="CUDA0", free_bytes=6 * GIB), replace(CPU, free_bytes=4 * GIB)
    plans = planner(Reader(gpu, cpu=cpu), tmp_path)
    with pytest.raises(WouldNotFit) as refused:
        await plans.options("m", write_sparse(tmp_path / "f16.gguf", LLAMA_8B, "F16"))
    plan = plans.plan_of("m")
    assert plan is not None
    assert plan.fit.gpus
    assert plan.fit.tightest == plan.fit.host
    needs, what = plan.fit.host.total_bytes / GIB, refused.value.problem.what
    assert f"it needs {needs:.1f} GiB of memory; 4.0 GiB are free" in what
    assert "Test GPU" not in what


async def test_what_a_gpu_that_shares_the_memory_takes_counts_with_it(tmp_path: Path) -> None:
    shared = replace(GPU, backend="CUDA0", memory="shared", free_bytes=9 * GIB)
    wish = Wish(gpu_layers=20)
    plans = planner(Reader(shared, cpu=replace(CPU, free_bytes=9 * GIB)), tmp_path, wish)
    with pytest.raises(WouldNotFit):
        await plans.options("m", write_sparse(tmp_path / "f16.gguf", LLAMA_8B, "F16"))
    plan = plans.plan_of("m")
    assert plan is not None
    assert plan.fit.gpus
    assert plan.fit.tightest == plan.fit.host
    assert plan.fit.tightest_needs_bytes == plan.fit.total_bytes


async def asked(bench: Workbench, path: Path) -> list[Event]:
    events: list[Event] = []
    request = RunRequest(
        new_id("run"), parse_target(f"local:{path}"), Prompt.ask("Hi"), Sampling(max_tokens=900, temperature=0)
    )
    await bench.run(Comparison([request], bench.engine_for, events.append), [request])
    return events


async def test_a_run_teaches_sizes_and_speed_and_a_new_context_loads_anew(tmp_path: Path) -> None:
    path = write_random(tmp_path / "tiny.gguf")
    bench = Workbench(app_paths())
    try:
        first = await asked(bench, path)
        bench.change(n_ctx=1024)
        second = await asked(bench, path)
        third = await asked(bench, path)
    finally:
        await bench.close()
    contexts = [event.report.n_ctx for event in (*first, *second, *third) if isinstance(event, Loaded)]
    loads = [event.report.load_ms for event in (*first, *second, *third) if isinstance(event, Loaded)]
    assert contexts == [2048, 1024, 1024]
    assert [bool(load_ms) for load_ms in loads] == [True, True, False]
    assert all(isinstance(each[-1], Finished) for each in (first, second, third))
    seen = LearnedFile.of(app_paths()).load().seen
    assert [each.real_bytes is not None for each in seen] == [True, False, True, False, False]
    assert sum(each.real_tok_s is not None for each in seen) == 3


async def test_a_refused_load_ends_the_run_in_words(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench(app_paths())
    monkeypatch.setattr(bench.local.plans, "_read_machine", Reader(cpu=replace(CPU, free_bytes=GIB)))
    try:
        events = await asked(bench, model)
    finally:
        await bench.close()
    assert isinstance(events[-1], Failed)
    problem: Problem = events[-1].problem
    assert problem.code == "would_not_fit"
    assert "load it anyway" in problem.fix
